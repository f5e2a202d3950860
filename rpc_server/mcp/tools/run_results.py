"""What is answered about a run: its result, or how it stands and what to call next."""

from rpc_server.mcp.picture.run_pictures import RunPictures
from rpc_server.mcp.protocol.caller import Caller
from rpc_server.mcp.protocol.revisions import UI_EXTENSION, V2025_06_18
from rpc_server.mcp.protocol.tool_results import bounded, bounded_output, resource_link, tool_result
from rpc_server.mcp.run_uris import run_uri
from schemas.json_types import Json
from schemas.params import RunParams
from schemas.shown_text import fit

PAGE_URI = "ui://mthds-rpc/picture.html"
"""The page of MCP Apps that draws a run."""
PICTURE_KEY = "mthds-rpc/picture"
"""The `_meta` member that the page of MCP Apps draws."""

_WAIT_S = 50


class RunResults:
    """Shapes the answers about runs."""

    def __init__(self, limit: int, pictures: RunPictures) -> None:
        """`limit` is in bytes of JSON."""
        self._limit = limit
        self._pictures = pictures

    def remember(self, params: RunParams, caller: Caller) -> None:
        """Keep what a run is asked for, where its caller may want it drawn."""
        if caller.has_extension(UI_EXTENSION):
            self._pictures.remember(params)

    async def of_result(self, result: Json, caller: Caller) -> Json:
        """A run that ended well, a `RunResult` as JSON members."""
        uri = run_uri(result["pipeline_run_id"])
        whole = bounded(result, self._limit, ("pipe_output", "graph"))
        answer = bounded(bounded_output(whole, self._limit, f"{uri}/output"), self._limit, ("output_preview", "usage"))
        links = []
        if "left_out" in answer and caller.version >= V2025_06_18:
            what = "The whole output." if "output" in answer["left_out"] else "Everything about the run."
            links.append(resource_link(answer.get("resource") or uri, "output", what))
        return tool_result(answer, links=links, meta=await self._meta(result, caller))

    async def of_running(self, answer: Json, caller: Caller) -> Json:
        """A run that has not ended: a `StartAck`, or the first part of a `RunResult`."""
        next_call = {
            "tool": "run_result",
            "arguments": {"run_id": answer["pipeline_run_id"], "wait_s": _WAIT_S},
        }
        kept = {name: value for name, value in answer.items() if name not in ("next_call", "run_mode")}
        return tool_result(
            {**kept, "next_call": next_call, "message": _message(answer)}, meta=await self._meta(answer, caller)
        )

    async def of_record(self, record: Json, caller: Caller) -> Json:
        """A run as it stands, a `RunRecord` as JSON members."""
        answer = fit(record)
        if record["state"] in ("QUEUED", "RUNNING", "COMPLETED"):
            answer["next_call"] = {"tool": "run_result", "arguments": {"run_id": record["pipeline_run_id"]}}
        return tool_result(bounded(answer, self._limit, ("problem",)), meta=await self._meta(record, caller))

    async def _meta(self, answer: Json, caller: Caller) -> Json | None:
        if not caller.has_extension(UI_EXTENSION):
            return None
        picture = await self._pictures.of_answer(answer)
        return None if picture is None else {PICTURE_KEY: picture}


def _message(answer: Json) -> str:
    waits = answer["state"] == "QUEUED"
    about = "waits for a worker" if waits else "has not ended yet"
    advice = " No worker is running: start one with `mthds-rpc worker`." if answer.get("worker_alive") is False else ""
    return f"The run {about}. Call `run_result` with its run_id to wait for the result.{advice}"
