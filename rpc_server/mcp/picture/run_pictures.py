"""Pictures of runs: the graph of a run's method, each step as it stands."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, TypeVar

from rpc_server.calls import runs
from rpc_server.calls.services import Services, mode_of_reading
from rpc_server.mcp.picture.drawing import picture_of
from schemas.json_types import Json
from schemas.params import MethodParams, RunParams, RunRef
from schemas.problem import ProblemError
from schemas.runs import RunEvent
from schemas.validation import ValidateRequest

T = TypeVar("T")

_KEPT = 100
_MOST_TEXT = 1 << 20
_METHOD_MEMBERS = {"files", "method", "mthds_contents", "dependencies"}


class RunPictures:
    """Draws runs; the graph of each is looked up once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._graphs: OrderedDict[str, Json | None] = OrderedDict()
        self._asked: OrderedDict[str, MethodParams] = OrderedDict()

    def remember(self, params: RunParams) -> None:
        """Keep the method of a run, since a ledger does not tell one that was sent as text."""
        if params.run_id is not None and _size(params) <= _MOST_TEXT:
            method = MethodParams.model_validate(params.model_dump(include=_METHOD_MEMBERS, exclude_none=True))
            _keep(self._asked, params.run_id, method)

    async def of_answer(self, answer: Json) -> Json | None:
        """The picture of the run that an answer is about; None for one that is not known."""
        try:
            return await self.of_run(await self._record(answer), graph=answer.get("graph"))
        except ProblemError:
            return None

    async def of_run(self, record: Json, graph: Json | None = None) -> Json:
        """The picture of a run. `graph` is its own, where it is known."""
        run_id = record["pipeline_run_id"]
        return picture_of(
            graph or await self._graph(record),
            await self.events_so_far(record),
            title=record.get("method"),
            run_id=run_id,
            state=record["state"],
        )

    async def events_so_far(self, record: Mapping[str, Any]) -> list[RunEvent]:
        """The events that the run's record counts."""
        ref = RunRef(run_id=record["pipeline_run_id"])
        ledger, known = await runs.found(self._services, ref)
        events: list[RunEvent] = []
        if known.event_count == 0:
            return events
        async for event in ledger.watch(ref.run_id, 0):
            events.append(event)
            if event.seq >= known.event_count:
                break
        return events

    async def _record(self, answer: Json) -> Json:
        ref = RunRef(run_id=answer["pipeline_run_id"])
        record: Json = await runs.get(self._services, ref)
        return record

    async def _graph(self, record: Json) -> Json | None:
        """The graph of the run's method; none for one that an earlier server was sent as text."""
        run_id = record["pipeline_run_id"]
        if run_id not in self._graphs:
            asked = self._asked.get(run_id)
            if asked is None and "method" in record:
                asked = MethodParams(method=record["method"])
            _keep(self._graphs, run_id, None if asked is None else await self._drawn(asked, record.get("pipe")))
        return self._graphs[run_id]

    async def _drawn(self, asked: MethodParams, pipe: str | None) -> Json | None:
        try:
            mode = await mode_of_reading(self._services, None)
            validator = await self._services.plugins.validators.get(mode)
            request = ValidateRequest(
                method=await self._services.workspace.method_source(asked),
                orchestration_mode=mode,
                include=["graph"],
                graph_pipe_code=pipe,
                allow_signatures=True,
            )
            verdict = (await validator.validate(request)).to_wire()
        except ProblemError:
            return None
        graph = verdict.get("graph_spec")
        return graph if isinstance(graph, dict) else None


def _keep(known: OrderedDict[str, T], run_id: str, value: T) -> None:
    known[run_id] = value
    if len(known) > _KEPT:
        known.popitem(last=False)


def _size(params: RunParams) -> int:
    return sum(len(entry) for entry in (params.files or {}).values() if isinstance(entry, str))
