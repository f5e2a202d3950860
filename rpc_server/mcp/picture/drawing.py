"""The picture of a run: Pipelex's graph of a method, coloured by what happened, as small plain JSON.

A picture is

    {"title": str, "run_id": str | None, "state": run state | None, "detail"?: why the run as a whole ended badly,
     "nodes": [{"id", "label", "kind": pipe type, "description"?, "parent": id | None,
                "status": "pending" | "running" | "completed" | "failed" | "skipped",
                "detail"?: error or reason, "times"?: how often it ran, where more than once,
                "inputs"?, "outputs"?: [{"name", "concept"?, "value"?: a short text, of a real run}]}],
     "edges": [{"source": id, "target": id, "label": str, "kind": str}],
     "counts": {status: int, ..., "total": int}}

The kinds of edges are Pipelex's, and `control` from a step to the next where no data flows, `outcome` from a condition
to what it may choose. A node stands for all items of a batch. Its id is the invocation path that a pipe has in every
run of its method, so a dry graph and the pictures of its runs have the same ids.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from rpc_server.mcp.picture.nodes import Edge, Node, Status, code_of, cut, dicts, flow, node_of, problem_text, text_of
from schemas.runs import RunEvent
from schemas.shown_text import MAX_TITLE, fit

MAX_NODES_WITH_VALUES = 120

_STATUS_IN_GRAPH: dict[str, Status] = {
    "running": "running",
    "succeeded": "completed",
    "failed": "failed",
    "skipped": "skipped",
    "canceled": "skipped",
}
_STATUS_BY_EVENT: dict[str, Status] = {
    "pipe_started": "running",
    "pipe_completed": "completed",
    "pipe_failed": "failed",
    "pipe_skipped": "skipped",
}
_END_OF_RUNNING: dict[str, tuple[Status, str | None]] = {
    "COMPLETED": ("completed", None),
    "FAILED": ("skipped", "Stopped when the run failed."),
    "CANCELLED": ("skipped", "Cancelled while it ran."),
    "TIMED_OUT": ("failed", "The run's time was up while it ran."),
}
_NOT_DRAWN = {"input", "output", "artifact", "error"}
_WITHIN = {"batch_item", "batch_aggregate"}
"""Edges of a batch to and from its own items; Pipelex draws them between two batches over one list as well."""
_ITEM = re.compile(r"/item_\d+(?=/|$)")
_STEP = re.compile(r"/step_(\d+)$")
_OUTCOME = re.compile(r"/(?:outcome_([^/]+)|(default))$")


def picture_of(
    graph: dict[str, Any] | None,
    events: Iterable[RunEvent] = (),
    *,
    title: str | None = None,
    run_id: str | None = None,
    state: str | None = None,
) -> dict[str, Any]:
    """The picture of a method (`graph` alone), or of a run of it.

    `graph` is Pipelex's, of a dry run or of this very run, or None: then the events alone are drawn. `events` are a
    run's, in order, from its first. Raises nothing for a graph of another shape: what is not understood is left out.
    """
    events = list(events)
    drawing = _Drawing()
    if graph and _is_graph_of(graph, events):
        drawing.add_graph(graph, ran=_has_run(graph, run_id))
    for event in events:
        drawing.apply(event)
    drawing.settle(state)
    picture: dict[str, Any] = {
        "title": cut(title or _title(graph) or run_id or "", MAX_TITLE),
        "run_id": run_id,
        "state": state,
        "nodes": drawing.nodes_as_json(),
        "edges": drawing.edges_as_json(),
        "counts": drawing.counts(),
    }
    if drawing.detail:
        picture["detail"] = drawing.detail
    # Ids may differ in the last character alone, so nothing is cut here.
    return dict(fit(picture, None))


class _Drawing:
    """A picture in the making."""

    def __init__(self) -> None:
        self.detail: str | None = None
        self._nodes: dict[str, Node] = {}
        self._edges: dict[Edge, None] = {}
        self._node_of_run: dict[str, str] = {}
        self._taken: set[tuple[str | None, str]] = set()
        self._attempt = 1

    def add_graph(self, graph: dict[str, Any], *, ran: bool) -> None:
        """Draw a graph; with what became of its nodes, and their values, where it is of a run that `ran`."""
        given = [node for node in dicts(graph.get("nodes")) if _is_drawn(node)]
        with_values = ran and len(given) <= MAX_NODES_WITH_VALUES
        ids: dict[str, str] = {}
        for raw in given:
            run = text_of(raw.get("id")) or text_of(raw.get("node_id"))
            key = _ITEM.sub("/item", text_of(raw.get("path"))) or run
            ids[run] = key
            node = self._nodes.setdefault(key, node_of(raw, key, with_values=with_values))
            if ran and (status := _STATUS_IN_GRAPH.get(text_of(raw.get("status")))):
                node.runs[run] = status
                self._node_of_run[run] = key
                node.detail = node.detail or problem_text(raw.get("error")) or text_of(raw.get("skip_reason")) or None
        edges = dicts(graph.get("edges"))
        self._add_parents(edges, ids)
        self._add_edges(edges, ids)

    def apply(self, event: RunEvent) -> None:
        """Take note of one event of the run."""
        if event.kind == "run_requeued" or event.attempt > self._attempt:
            self._begin_again(event.attempt)
        if event.kind == "run_ended":
            self.detail = problem_text(event.problem)
        status = _STATUS_BY_EVENT.get(event.kind)
        if status is None:
            return
        node = self._node_for(event)
        run = event.node_id or str(event.seq)
        node.runs[run] = status
        self._node_of_run[run] = node.id
        self._taken.add((event.parent_node_id, node.id))
        if event.problem is not None:
            node.detail = problem_text(event.problem)

    def settle(self, state: str | None) -> None:
        """Say what became of the nodes that no event speaks of, once it is known.

        What a run that did not complete never came to stays pending.
        """
        if state == "COMPLETED":
            self._end_running(state)
        for node in self._nodes.values():
            if node.status == "pending" and self._was_passed_over(node):
                node.runs["settled"] = "completed" if node.kind == "Binding" else "skipped"
        self._end_running(state)

    def nodes_as_json(self) -> list[dict[str, Any]]:
        return [node.as_json() for node in self._nodes.values()]

    def edges_as_json(self) -> list[dict[str, Any]]:
        edges = [edge for edge in self._edges if not self._is_repeated_inside(edge)]
        edges += [*self._outcome_edges(), *self._control_edges(edges)]
        return [
            {"source": e.source, "target": e.target, "label": cut(e.label, MAX_TITLE), "kind": e.kind} for e in edges
        ]

    def counts(self) -> dict[str, int]:
        found = Counter(node.status for node in self._nodes.values())
        return {status: found[status] for status in get_args(Status)} | {"total": len(self._nodes)}

    def _add_parents(self, edges: list[dict[str, Any]], ids: dict[str, str]) -> None:
        for edge in edges:
            source, target = ids.get(text_of(edge.get("source"))), ids.get(text_of(edge.get("target")))
            if edge.get("kind") == "contains" and source and target:
                self._set_parent(self._nodes[target], source)
        for node in self._nodes.values():
            above = node.id.rpartition("/")[0]
            if node.parent is None and above in self._nodes:
                self._set_parent(node, above)

    def _set_parent(self, node: Node, parent: str) -> None:
        """A graph that holds itself is not drawn so."""
        if parent != node.id and node.id not in self._above(parent):
            node.parent = parent

    def _add_edges(self, edges: list[dict[str, Any]], ids: dict[str, str]) -> None:
        batched: set[tuple[str, str, str]] = set()
        for raw in edges:
            source, target = ids.get(text_of(raw.get("source"))), ids.get(text_of(raw.get("target")))
            kind = text_of(raw.get("kind")) or "data"
            if not source or not target or source == target or kind == "contains":
                continue
            if kind in _WITHIN and (source, target, kind) in batched:
                continue
            batched.add((source, target, kind))
            if kind not in _WITHIN or source in self._above(target) or target in self._above(source):
                label = flow(raw, self._nodes[source], self._nodes[target])
                self._edges[Edge(source, target, label, kind)] = None

    def _end_running(self, state: str | None) -> None:
        if state not in _END_OF_RUNNING:
            return
        status, detail = _END_OF_RUNNING[state]
        for node in self._nodes.values():
            for run in [run for run, was in node.runs.items() if was == "running"]:
                node.runs[run] = status
                node.detail = node.detail or detail

    def _begin_again(self, attempt: int) -> None:
        self._attempt = attempt
        self._node_of_run.clear()
        self._taken.clear()
        for node in self._nodes.values():
            node.runs.clear()
            node.detail = None

    def _node_for(self, event: RunEvent) -> Node:
        """The node an event is about: by its path, else the run it ends, else by parent, pipe and order."""
        known = self._node_of_run.get(event.node_id or "")
        if known is not None:
            return self._nodes[known]
        parent = self._node_of_run.get(event.parent_node_id or "")
        path = _ITEM.sub("/item", text_of(getattr(event, "path", None)))
        code = code_of(event.pipe)
        if path in self._nodes:
            return self._nodes[path]
        same_pipe = [node for node in self._nodes.values() if node.label == code] if not path else []
        children = [node for node in same_pipe if node.parent == parent]
        free = [node for node in children if (event.parent_node_id, node.id) not in self._taken]
        if free or children:
            return (free or children[-1:])[0]
        elsewhere = [node for node in same_pipe if not node.runs] if parent is None else []
        return elsewhere[0] if elsewhere else self._add_unforeseen(event, path, parent, code)

    def _add_unforeseen(self, event: RunEvent, path: str, parent: str | None, code: str) -> Node:
        """A pipe that the graph does not know, or any pipe where there is no graph."""
        above = path.rpartition("/")[0]
        parent = parent or (above if above in self._nodes else None)
        key = path or (f"{parent}/{code}" if parent else event.pipe or code)
        earlier = [node for node in self._nodes.values() if node.parent == parent and parent is not None]
        node = self._nodes.setdefault(key, Node(key, code or "pipe", "Pipe", parent))
        if not path and earlier and earlier[-1].status in ("completed", "skipped"):
            self._edges[Edge(earlier[-1].id, key, "", "control")] = None
        return node

    def _was_passed_over(self, node: Node) -> bool:
        above = self._above(node.id)
        return bool(above) and any(self._nodes[key].status in ("completed", "skipped") for key in above)

    def _above(self, key: str) -> list[str]:
        """The ids of what holds a node, the closest first."""
        found = []
        parent = self._nodes[key].parent
        while parent is not None:
            found.append(parent)
            parent = self._nodes[parent].parent
        return found

    def _is_repeated_inside(self, edge: Edge) -> bool:
        """Whether what flows to a node flows to what holds it as well: once is enough."""
        if edge.kind != "data":
            return False
        around_source = {edge.source, *self._above(edge.source)}
        return any(
            Edge(edge.source, above, edge.label, edge.kind) in self._edges
            for above in self._above(edge.target)
            if above not in around_source
        )

    def _outcome_edges(self) -> Iterator[Edge]:
        drawn = {(edge.source, edge.target) for edge in self._edges if edge.kind == "selected_outcome"}
        for node in self._nodes.values():
            found = _OUTCOME.search(node.id)
            if found and node.parent and (node.parent, node.id) not in drawn:
                was_chosen = node.status not in ("pending", "skipped")
                kind = "selected_outcome" if was_chosen else "outcome"
                yield Edge(node.parent, node.id, found[1] or found[2], kind)

    def _control_edges(self, edges: list[Edge]) -> Iterator[Edge]:
        linked = {self._siblings(edge) for edge in edges}
        steps: dict[str, dict[int, str]] = {}
        for node in self._nodes.values():
            if node.parent and (found := _STEP.search(node.id)):
                steps.setdefault(node.parent, {})[int(found[1])] = node.id
        for numbered in steps.values():
            in_order = [key for _, key in sorted(numbered.items())]
            for step, following in zip(in_order, in_order[1:], strict=False):
                if (step, following) not in linked:
                    yield Edge(step, following, "", "control")

    def _siblings(self, edge: Edge) -> tuple[str, str]:
        """The two neighbours, in the closest thing that holds both ends, that an edge connects."""
        sources = [edge.source, *self._above(edge.source)][::-1]
        targets = [edge.target, *self._above(edge.target)][::-1]
        pairs = zip(sources, targets, strict=False)
        return next((pair for pair in pairs if pair[0] != pair[1]), (edge.source, edge.target))


def _is_graph_of(graph: dict[str, Any], events: list[RunEvent]) -> bool:
    """Whether the events, if any, are those of the graph's own entry pipe."""
    entry = next((event for event in events if event.kind == "pipe_started"), None)
    roots = {text_of(node.get("pipe_code")) for node in dicts(graph.get("nodes"))[:1]}
    return entry is None or entry.parent_node_id is not None or not roots or code_of(entry.pipe) in roots


def _has_run(graph: dict[str, Any], run_id: str | None) -> bool:
    meta = graph.get("meta")
    is_live = isinstance(meta, dict) and meta.get("mode") == "live"
    return is_live or (run_id is not None and graph.get("graph_id") == run_id)


def _title(graph: dict[str, Any] | None) -> str:
    ref = (graph or {}).get("pipeline_ref")
    return text_of(ref.get("main_pipe")) if isinstance(ref, dict) else ""


def _is_drawn(raw: dict[str, Any]) -> bool:
    named = text_of(raw.get("id")) or text_of(raw.get("node_id"))
    return bool(named) and text_of(raw.get("kind")) not in _NOT_DRAWN
