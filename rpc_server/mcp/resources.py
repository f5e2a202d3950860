"""The resources: sources of methods, what became of runs, schemas, and the page that draws a run."""

import json
import mimetypes
import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from importlib import resources as package_files
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import anyio.to_thread
from pydantic import BaseModel, ValidationError

from orchestrators.artifact_scope import artifact_scope
from orchestrators.plugins.mcp_features import Features
from rpc_server.calls import runs
from rpc_server.calls.services import Services
from rpc_server.mcp.completions import Completions
from rpc_server.mcp.picture.run_pictures import RunPictures
from rpc_server.mcp.run_uris import run_part, run_uri
from rpc_server.mcp.tools.run_results import PAGE_URI
from rpc_server.wire.json_text import encode
from rpc_server.workspace.file_threads import in_thread
from rpc_server.workspace.held_folder import HeldFolder, Kind, OutOfTime, TooLarge, Unreadable
from rpc_server.workspace.names import why_odd
from schemas.json_types import Json
from schemas.params import RUN_ID_PATTERN, ExecuteParams, MethodParams, RunRef, RunResultParams, ValidateParams
from schemas.problem import Problem, ProblemError
from schemas.runs import RunEvent, RunRecord, RunResult
from schemas.shown_text import fit_line, fit_text
from schemas.validation import ValidationVerdict

T = TypeVar("T")

_METHODS = "mthds://methods/"
_SCHEMAS = "mthds://schemas/"
_JSON_TYPE = "application/json"
_SOURCE_TYPE = "application/toml"
_PAGE_TYPE = "text/html;profile=mcp-app"
_MOST_METHODS = 1000
_MOST_ARTIFACTS = 200

_MODELS: dict[str, type[BaseModel]] = {
    "execute": ExecuteParams,
    "validate": ValidateParams,
    "run_result": RunResult,
    "run_record": RunRecord,
    "run_event": RunEvent,
    "verdict": ValidationVerdict,
    "problem": Problem,
}
TEMPLATES = (
    (f"{_METHODS}{{name}}", "method", "The files of a method of the workspace, `name` being its path.", _SOURCE_TYPE),
    ("mthds://runs/{id}", "run", "How a run stands, and its result once it has one.", _JSON_TYPE),
    ("mthds://runs/{id}/output", "run output", "The whole output of a run.", _JSON_TYPE),
    ("mthds://runs/{id}/events", "run events", "What happened in a run so far, in order.", _JSON_TYPE),
    ("mthds://runs/{id}/picture", "run picture", "The graph of a run's method, each step as it stands.", _JSON_TYPE),
    ("mthds://runs/{id}/artifacts", "run artifacts", "The files of a run, each with its own resource.", _JSON_TYPE),
    ("mthds://runs/{id}/artifacts/{file}", "run artifact", "One file of a run.", "application/octet-stream"),
)


class MethodResources(Features):
    """`mthds://methods/{name}`: the sources of the workspace's methods."""

    def __init__(self, services: Services, completions: Completions) -> None:
        self._services = services
        self._completions = completions

    async def resources(self) -> list[Json]:
        if self._services.workspace.root.directory is None:
            return []
        listed = await self._services.workspace.list_methods(None, _MOST_METHODS)
        return [
            {
                "uri": _METHODS + quote(method.path),
                "name": fit_line(method.name),
                "title": fit_line(method.name),
                "mimeType": _SOURCE_TYPE,
                **({"description": fit_text(method.description)} if method.description else {}),
            }
            for method in listed.methods
            if "\\" not in method.path  # then it stands for a name that no URI leads to
        ]

    async def resource_templates(self) -> list[Json]:
        return [_template(*TEMPLATES[0])]

    async def read_resource(self, uri: str) -> list[Json] | None:
        if not uri.startswith(_METHODS):
            return None
        try:
            source = await self._services.workspace.method_source(
                MethodParams(method=unquote(uri.removeprefix(_METHODS)))
            )
        except ProblemError as error:
            if error.problem.code != "method.not_found" and not error.problem.code.startswith("security."):
                raise
            return None
        files = source.files or {}
        whole = _METHODS + quote(source.origin or "")
        return [
            {"uri": uri if len(files) == 1 else f"{whole}/{quote(path)}", "mimeType": _SOURCE_TYPE, "text": content}
            if isinstance(content, str)
            else {"uri": f"{whole}/{quote(path)}", "mimeType": _type_of(path), "blob": content.base64}
            for path, content in files.items()
        ]

    async def complete(
        self, ref: Mapping[str, Any], name: str, value: str, given: Mapping[str, str]
    ) -> list[str] | None:
        if ref.get("type") != "ref/resource" or ref.get("uri") != TEMPLATES[0][0]:
            return None
        return await self._completions.methods(value) if name == "name" else []


class RunResources(Features):
    """`mthds://runs/{id}` and its parts."""

    def __init__(
        self, services: Services, completions: Completions, pictures: RunPictures, artifacts_dir: Path
    ) -> None:
        self._services = services
        self._completions = completions
        self._pictures = pictures
        self._artifacts = artifacts_dir

    async def resource_templates(self) -> list[Json]:
        return [_template(*template) for template in TEMPLATES[1:]]

    async def read_resource(self, uri: str) -> list[Json] | None:
        run_id, part = run_part(uri)
        if run_id is None:
            return None
        try:
            _, record = await runs.found(self._services, RunRef(run_id=run_id))
            return await self._part(uri, record, part)
        except ValidationError:
            return None
        except ProblemError as error:
            if error.problem.code != "run.not_found":
                raise
            return None

    async def complete(
        self, ref: Mapping[str, Any], name: str, value: str, given: Mapping[str, str]
    ) -> list[str] | None:
        if ref.get("type") != "ref/resource" or ref.get("uri") not in [uri for uri, *_ in TEMPLATES[1:]]:
            return None
        if name == "id":
            return await self._completions.runs(value)
        if name == "file" and "id" in given:
            try:
                _, record = await runs.found(self._services, RunRef(run_id=given["id"]))
            except (ProblemError, ValidationError):
                return []
            files = await self._in_thread(record, self._files_of)
            return [file for file in files if file.startswith(value)]
        return []

    async def _part(self, uri: str, run: RunRecord, part: str) -> list[Json] | None:
        record: Json = run.model_dump(mode="json", exclude_none=True)
        if part == "":
            return [_json_content(uri, {**record, **await self._result(record)})]
        if part == "output":
            return [_json_content(uri, (await self._result(record)).get("output"))]
        if part == "events":
            return [
                _json_content(
                    uri,
                    [
                        event.model_dump(mode="json", exclude_none=True)
                        for event in await self._pictures.events_so_far(record)
                    ],
                )
            ]
        if part == "picture":
            return [_json_content(uri, await self._pictures.of_run(record))]
        if part == "artifacts":
            return [_json_content(uri, await self._in_thread(run, self._listed))]
        if part.startswith("artifacts/"):
            name = part.removeprefix("artifacts/")
            return await self._in_thread(run, lambda run: self._artifact(uri, run, name))
        return None

    async def _result(self, record: Json) -> Json:
        if record["state"] != "COMPLETED":
            return {}
        result: Json = await runs.result(self._services, RunResultParams(run_id=record["pipeline_run_id"], wait_s=0))
        return result

    async def _in_thread(self, run: RunRecord, read: Callable[[RunRecord], T]) -> T:
        what = f"the files of the run '{run.pipeline_run_id}'"
        return await in_thread(what, lambda: read(run), self._services.settings.workspace.max_read_s)

    def _held(self, run: RunRecord) -> AbstractContextManager[HeldFolder]:
        """The folder of a run's files. Raises `Unreadable` where there is none."""
        deadline = time.monotonic() + self._services.settings.workspace.max_read_s
        if not re.fullmatch(RUN_ID_PATTERN, run.pipeline_run_id):
            # A stored run that this program did not start: its id may lead anywhere.
            raise Unreadable("does not exist")
        scope = artifact_scope(run.pipeline_run_id, run.orchestration_mode, run.created_at, run.execution)
        return HeldFolder.open(self._artifacts.resolve(), deadline, scope.split("/"))

    def _listed(self, run: RunRecord) -> list[Json]:
        uri = run_uri(run.pipeline_run_id)
        return [
            {"uri": f"{uri}/artifacts/{quote(name)}", "name": fit_line(name), "mimeType": _type_of(name)}
            for name in self._files_of(run)
        ]

    def _files_of(self, run: RunRecord) -> list[str]:
        try:
            with self._held(run) as held:
                return sorted(name for name, _ in zip(_files_in(held), range(_MOST_ARTIFACTS), strict=False))
        except (OSError, Unreadable, OutOfTime):
            return []

    def _artifact(self, uri: str, run: RunRecord, name: str) -> list[Json] | None:
        # Only a file that the listing names is read, so that no name leads elsewhere.
        if name not in self._files_of(run):
            return None
        try:
            with self._held(run) as held:
                data = held.read(name.split("/"), self._services.settings.workspace.max_total_bytes)
        except (Unreadable, TooLarge, OutOfTime):
            return None
        return [{"uri": uri, "mimeType": _type_of(name), "blob": b64encode(data).decode("ascii")}]


def _files_in(held: HeldFolder) -> Iterator[str]:
    """The paths of the files beneath a folder, in order, but for those that no URI can name."""
    pending: list[tuple[tuple[str, ...], Kind]] = [((), Kind.FOLDER)]
    while pending:
        parts, kind = pending.pop()
        if kind is Kind.FOLDER:
            entries = sorted(held.entries(parts).items(), reverse=True)
            pending.extend(((*parts, name), below) for name, below in entries)
        elif kind is Kind.FILE and why_odd("/".join(parts)) is None:
            yield "/".join(parts)


class FixedResources(Features):
    """`mthds://schemas/…`, and the page of MCP Apps."""

    async def resources(self) -> list[Json]:
        schemas = [
            {
                "uri": _SCHEMAS + name,
                "name": f"schema {name}",
                "description": f"The JSON Schema of `{name}`." if name in _MODELS else "The OpenRPC document.",
                "mimeType": _JSON_TYPE,
            }
            for name in (*_MODELS, "openrpc")
        ]
        drawing = {
            "uri": PAGE_URI,
            "name": "picture",
            "title": "Picture of a run",
            "description": "A page that draws a method's graph, each step as the run stands.",
            "mimeType": _PAGE_TYPE,
        }
        return [*schemas, drawing]

    async def read_resource(self, uri: str) -> list[Json] | None:
        if uri == PAGE_URI:
            from rpc_server.mcp.picture.app import page

            meta = {"ui": {"csp": {"connectDomains": [], "resourceDomains": []}, "prefersBorder": True}}
            text = await anyio.to_thread.run_sync(page)
            return [{"uri": uri, "mimeType": _PAGE_TYPE, "text": text, "_meta": meta}]
        name = uri.removeprefix(_SCHEMAS)
        if name == "openrpc":
            text = package_files.files("schemas").joinpath("openrpc.json").read_text(encoding="utf-8")
            return [_json_content(uri, json.loads(text))]
        if uri.startswith(_SCHEMAS) and name in _MODELS:
            return [_json_content(uri, _MODELS[name].model_json_schema(by_alias=True))]
        return None


def _template(uri: str, name: str, description: str, mime_type: str) -> Json:
    return {"uriTemplate": uri, "name": name, "description": description, "mimeType": mime_type}


def _json_content(uri: str, value: Any) -> Json:
    return {"uri": uri, "mimeType": _JSON_TYPE, "text": encode(value).decode()}


def _type_of(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
