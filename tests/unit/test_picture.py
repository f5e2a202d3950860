"""What a picture says of a graph and of a run's events. The graphs are of the shape that Pipelex gives."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rpc_server.mcp.picture.drawing import MAX_NODES_WITH_VALUES, picture_of
from rpc_server.mcp.picture.nodes import MAX_TEXT, MAX_VALUE
from schemas.problem import NextStep, Problem
from schemas.runs import RunEvent

RUN = "run-1"
PROBLEM = Problem(
    code="pipe.failed",
    title="It failed",
    detail="The pipe failed",
    domain="method",
    retry="no",
    next_step=NextStep(kind="change_method", detail="Change it"),
)


def text(name: str, digest: str = "", **more: Any) -> dict[str, Any]:
    return {"name": name, "concept": "Text", "digest": digest or name, "multiplicity": None, "data": None, **more}


def node(path: str, pipe: str, kind: str = "PipeCompose", **more: Any) -> dict[str, Any]:
    io = {"inputs": more.pop("inputs", []), "outputs": more.pop("outputs", [])}
    named = {"id": f"g:{path}", "path": path, "pipe_code": pipe, "pipe_type": kind, "domain_code": "d"}
    return {**named, "kind": "operator", "status": "succeeded", "description": None, "io": io, **more}


def graph(*nodes: dict[str, Any], edges: tuple[dict[str, Any], ...] = (), **more: Any) -> dict[str, Any]:
    """A dry graph in which each node is held by the one that its path says."""
    ids = {each["path"]: each["id"] for each in nodes}
    held = [
        {"source": ids[each["path"].rpartition("/")[0]], "target": each["id"], "kind": "contains"}
        for each in nodes
        if each["path"].rpartition("/")[0] in ids
    ]
    return {"graph_id": "g", "meta": {"mode": "dry"}, "nodes": list(nodes), "edges": [*held, *edges], **more}


def edge(source: str, target: str, kind: str = "data", **more: Any) -> dict[str, Any]:
    return {"source": f"g:{source}", "target": f"g:{target}", "kind": kind, **more}


SEQUENCE = graph(
    node("d.all", "all", "PipeSequence", description="All of it"),
    node("d.all/step_1", "one", inputs=[text("word")], outputs=[text("first")]),
    node("d.all/step_2", "two", inputs=[text("first")], outputs=[text("second")]),
    edges=(edge("d.all/step_1", "d.all/step_2", label="first"),),
    pipeline_ref={"domain": "d", "main_pipe": "all"},
)

BATCH = graph(
    node("d.each", "each", "PipeBatch", inputs=[text("words", multiplicity=True)]),
    node("d.each/item_1", "shout", inputs=[text("word", "w-0")]),
    node("d.each/item_2", "shout", inputs=[text("word", "w-1")]),
    edges=(
        edge("d.each", "d.each/item_1", "batch_item", label="[0]", target_stuff_digest="w-0"),
        edge("d.each", "d.each/item_2", "batch_item", label="[1]", target_stuff_digest="w-1"),
    ),
)

CHOICE = graph(
    node("d.choose", "choose", "PipeCondition"),
    node("d.choose/outcome_a", "this"),
    node("d.choose/default", "that"),
)


class Story:
    """A run's events as they come. A pipe is named by what it is called and, where given, its path."""

    def __init__(self) -> None:
        self.events: list[RunEvent] = []

    def tell(self, kind: str, pipe: str | None = None, run: str | None = None, **more: Any) -> "Story":
        event = {"run_id": RUN, "seq": len(self.events) + 1, "kind": kind, "at": 0.0, "node_id": run or pipe}
        self.events.append(RunEvent.model_validate({**event, "pipe": pipe and f"d.{pipe}", **more}))
        return self

    def start(self, pipe: str, parent: str | None = None, run: str | None = None, **more: Any) -> "Story":
        return self.tell("pipe_started", pipe, run, parent_node_id=parent, **more)

    def complete(self, *runs: str) -> "Story":
        for run in runs:
            self.tell("pipe_completed", run.partition("#")[0], run)
        return self


def statuses(picture: dict[str, Any]) -> dict[str, str]:
    return {node["id"]: node["status"] for node in picture["nodes"]}


def edges(picture: dict[str, Any], kind: str) -> list[tuple[str, str, str]]:
    return [(e["source"], e["target"], e["label"]) for e in picture["edges"] if e["kind"] == kind]


def test_a_method_that_has_not_run_is_drawn_with_every_node_pending() -> None:
    picture = picture_of(SEQUENCE)

    assert (picture["title"], picture["run_id"], picture["state"]) == ("all", None, None)
    assert [(n["id"], n["label"], n["kind"], n["parent"], n["status"]) for n in picture["nodes"]] == [
        ("d.all", "all", "PipeSequence", None, "pending"),
        ("d.all/step_1", "one", "PipeCompose", "d.all", "pending"),
        ("d.all/step_2", "two", "PipeCompose", "d.all", "pending"),
    ]
    assert picture["nodes"][0]["description"] == "All of it"
    assert picture["counts"] == {"pending": 3, "running": 0, "completed": 0, "failed": 0, "skipped": 0, "total": 3}


def test_an_edge_says_what_flows_and_its_concept() -> None:
    assert edges(picture_of(SEQUENCE), "data") == [("d.all/step_1", "d.all/step_2", "first: Text")]


def test_a_list_shows_as_one_in_what_flows() -> None:
    [each, _] = picture_of(BATCH)["nodes"]

    assert each["inputs"] == [{"name": "words", "concept": "Text[]"}]


def test_what_flows_into_a_sequence_is_not_drawn_again_to_its_steps() -> None:
    inner = [node("d.all/step_2", "inner", "PipeSequence"), node("d.all/step_2/step_1", "deep")]
    flows = (edge("d.all/step_1", "d.all/step_2", label="x"), edge("d.all/step_1", "d.all/step_2/step_1", label="x"))
    drawn = graph(node("d.all", "all", "PipeSequence"), node("d.all/step_1", "one"), *inner, edges=flows)

    assert edges(picture_of(drawn), "data") == [("d.all/step_1", "d.all/step_2", "x")]


def test_steps_between_which_nothing_flows_are_drawn_in_their_order() -> None:
    steps = [node(f"d.all/step_{number}", f"s{number}") for number in (1, 2, 10)]

    picture = picture_of(graph(node("d.all", "all", "PipeSequence"), *steps))

    expected = [("d.all/step_1", "d.all/step_2", ""), ("d.all/step_2", "d.all/step_10", "")]
    assert edges(picture, "control") == expected


def test_events_colour_the_nodes_of_the_dry_graph_by_their_path() -> None:
    story = Story().start("all", path="d.all").start("one", "all", path="d.all/step_1").complete("one")
    story.start("two", "all", path="d.all/step_2")

    picture = picture_of(SEQUENCE, story.events, run_id=RUN, state="RUNNING")

    assert statuses(picture) == {"d.all": "running", "d.all/step_1": "completed", "d.all/step_2": "running"}
    assert picture["run_id"] == RUN
    assert picture["counts"]["running"] == 2


def test_events_without_a_path_colour_the_nodes_by_parent_pipe_and_order() -> None:
    twice = graph(node("d.all", "all", "PipeSequence"), node("d.all/step_1", "same"), node("d.all/step_2", "same"))
    story = Story().start("all").start("same", "all", "same#1").complete("same#1").start("same", "all", "same#2")

    picture = picture_of(twice, story.events, run_id=RUN, state="RUNNING")

    assert statuses(picture) == {"d.all": "running", "d.all/step_1": "completed", "d.all/step_2": "running"}


def test_all_items_of_a_batch_are_one_node_that_says_how_often_it_ran() -> None:
    story = Story().start("each", path="d.each")
    for item in (1, 2, 3):
        story.start("shout", "each", f"shout#{item}", path=f"d.each/item_{item}")
    story.complete("shout#1", "shout#2")

    picture = picture_of(BATCH, story.events, run_id=RUN, state="RUNNING")

    [_, shout] = picture["nodes"]
    assert (shout["id"], shout["status"], shout["times"]) == ("d.each/item", "running", 3)
    assert edges(picture, "batch_item") == [("d.each", "d.each/item", "word: Text")]


def test_an_item_that_flows_into_another_batch_over_the_same_list_is_no_edge() -> None:
    other = node("d.other", "other", "PipeBatch")
    drawn = {**BATCH, "nodes": [*BATCH["nodes"], other]}
    drawn["edges"] = [*BATCH["edges"], edge("d.other", "d.each/item_1", "batch_item", label="[0]")]

    assert {source for source, _, _ in edges(picture_of(drawn), "batch_item")} == {"d.each"}


def test_one_failed_item_makes_the_node_of_the_batch_failed() -> None:
    story = Story().start("each").start("shout", "each", "shout#1").start("shout", "each", "shout#2")
    story.tell("pipe_failed", "shout", "shout#1", problem=PROBLEM).complete("shout#2")

    assert statuses(picture_of(BATCH, story.events, state="RUNNING"))["d.each/item"] == "failed"


def test_a_condition_says_when_it_goes_where() -> None:
    picture = picture_of(CHOICE)

    expected = [("d.choose", "d.choose/outcome_a", "a"), ("d.choose", "d.choose/default", "default")]
    assert edges(picture, "outcome") == expected


def test_the_outcome_that_was_not_chosen_is_skipped_once_the_condition_is_done() -> None:
    story = Story().start("choose").start("this", "choose").complete("this")
    before = picture_of(CHOICE, story.events, state="RUNNING")

    after = picture_of(CHOICE, story.complete("choose").events, state="RUNNING")

    assert statuses(before)["d.choose/default"] == "pending"
    assert statuses(after)["d.choose/default"] == "skipped"
    assert edges(after, "selected_outcome") == [("d.choose", "d.choose/outcome_a", "a")]


def test_a_failed_pipe_says_why_and_what_to_do() -> None:
    story = Story().start("all").start("one", "all").tell("pipe_failed", "one", problem=PROBLEM)

    picture = picture_of(SEQUENCE, story.tell("run_ended", problem=PROBLEM).events, run_id=RUN, state="FAILED")

    one = picture["nodes"][1]
    assert (one["status"], one["detail"]) == ("failed", "The pipe failed. Change it.")
    assert picture["detail"] == "The pipe failed. Change it."
    assert picture["nodes"][2]["status"] == "pending"


def test_what_ran_when_the_run_was_cancelled_or_out_of_time_is_not_left_running() -> None:
    story = Story().start("all").start("one", "all")

    cancelled = picture_of(SEQUENCE, story.events, state="CANCELLED")
    timed_out = picture_of(SEQUENCE, story.events, state="TIMED_OUT")

    assert statuses(cancelled)["d.all/step_1"] == "skipped"
    assert statuses(timed_out)["d.all/step_1"] == "failed"


def test_a_run_that_begins_again_is_drawn_from_its_new_beginning() -> None:
    story = Story().start("all").start("one", "all").complete("one").tell("run_requeued")
    story.start("all", attempt=2)

    picture = picture_of(SEQUENCE, story.events, state="RUNNING")

    assert statuses(picture) == {"d.all": "running", "d.all/step_1": "pending", "d.all/step_2": "pending"}


def test_a_pipe_that_the_graph_does_not_know_is_added_where_it_ran() -> None:
    story = Story().start("all").start("surprise", "all")

    picture = picture_of(SEQUENCE, story.events, state="RUNNING")

    added = picture["nodes"][-1]
    assert (added["label"], added["parent"], added["status"]) == ("surprise", "d.all", "running")


def test_without_a_graph_the_events_alone_are_drawn_in_their_order() -> None:
    story = Story().start("all").start("one", "all").complete("one").start("two", "all")

    picture = picture_of(None, story.events, title="mine", run_id=RUN, state="RUNNING")

    assert picture["title"] == "mine"
    assert statuses(picture) == {"d.all": "running", "d.all/one": "completed", "d.all/two": "running"}
    assert edges(picture, "control") == [("d.all/one", "d.all/two", "")]


def test_the_graph_of_another_entry_pipe_is_not_mixed_with_the_run() -> None:
    picture = picture_of(SEQUENCE, Story().start("two").events, state="RUNNING")

    assert statuses(picture) == {"d.two": "running"}


def test_the_graph_of_the_run_itself_says_what_happened_and_what_the_values_were() -> None:
    ran = graph(
        node("d.one", "one", inputs=[text("word", data={"text": "hello"})], outputs=[text("out", data="x" * 1000)]),
        meta={"mode": "live"},
    )

    [one] = picture_of(ran, run_id="g", state="COMPLETED")["nodes"]

    assert one["status"] == "completed"
    assert one["inputs"] == [{"name": "word", "concept": "Text", "value": "hello"}]
    assert len(one["outputs"][0]["value"]) == MAX_VALUE


def test_the_invented_values_of_a_dry_run_are_not_shown() -> None:
    dry = graph(node("d.one", "one", inputs=[text("word", data={"text": "qwxzy"})]))

    [one] = picture_of(dry)["nodes"]

    assert one["inputs"] == [{"name": "word", "concept": "Text"}]


def test_a_large_graph_stays_small_without_values() -> None:
    steps = [node(f"d.all/step_{n}", f"s{n}", inputs=[text("word", data="y" * 500)]) for n in range(500)]
    ran = graph(node("d.all", "all", "PipeSequence"), *steps, meta={"mode": "live"})

    picture = picture_of(ran, run_id="g", state="COMPLETED")

    assert len(steps) > MAX_NODES_WITH_VALUES
    assert picture["counts"]["total"] == 501
    assert "value" not in picture["nodes"][1]["inputs"][0]


def test_long_texts_are_cut() -> None:
    [one] = picture_of(graph(node("d.one", "one", description="z" * 5000)))["nodes"]

    assert len(one["description"]) == MAX_TEXT


def test_a_graph_that_holds_itself_is_drawn_without_the_circle() -> None:
    circle = graph(node("a", "a"), node("b", "b"), edges=(edge("a", "b", "contains"), edge("b", "a", "contains")))

    assert [n["parent"] for n in picture_of(circle)["nodes"]] == [None, "a"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_NODE_MEMBERS = ["id", "node_id", "path", "kind", "pipe_code", "pipe_type", "status", "io", "error", "skip_reason"]
_EDGE_MEMBERS = ["source", "target", "kind", "label", "source_stuff_digest", "meta"]
_NAMES = st.sampled_from(["a", "a/step_1", "a/item_1", "a/default", "contains", "data", "batch_item", "PipeBatch"])


def _objects(members: list[str]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.dictionaries(st.sampled_from(members), _NAMES | _JSON, max_size=8) | _JSON, max_size=5)


@settings(max_examples=300)
@given(nodes=_objects(_NODE_MEMBERS) | _JSON, links=_objects(_EDGE_MEMBERS) | _JSON, meta=_JSON, ref=_JSON)
def test_no_graph_of_an_unknown_shape_is_too_odd_to_draw(nodes: Any, links: Any, meta: Any, ref: Any) -> None:
    story = Story().start("a").complete("a")

    picture = picture_of({"nodes": nodes, "edges": links, "meta": meta, "pipeline_ref": ref}, story.events)

    assert picture["counts"]["total"] == len(picture["nodes"])
