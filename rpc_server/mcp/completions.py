"""What an argument may be, by its beginning: methods, pipes, runs."""

import tomli

from rpc_server.methods import runs
from rpc_server.methods.services import Services
from schemas.params import MethodParams, RunsListParams
from schemas.problem import ProblemError

_MOST_METHODS = 1000
_MOST_RUNS = 500


class Completions:
    """Looks things up by how their names begin."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def methods(self, value: str) -> list[str]:
        """The paths of the workspace's methods; one also by its last part."""
        if self._services.workspace.root.directory is None:
            return []
        listed = await self._services.workspace.list_methods(None, _MOST_METHODS)
        paths = [method.path for method in listed.methods]
        return [path for path in paths if path.startswith(value) or path.rsplit("/", 1)[-1].startswith(value)]

    async def pipes(self, method: str, value: str) -> list[str]:
        """The pipes that a method defines."""
        try:
            source = await self._services.workspace.method_source(MethodParams(method=method))
        except ProblemError:
            return []
        texts = [text for path, text in (source.files or {}).items() if path.endswith(".mthds")]
        names = {name for text in texts if isinstance(text, str) for name in _pipes_of(text)}
        return sorted(name for name in names if name.startswith(value))

    async def runs(self, value: str) -> list[str]:
        """The ids of the newest runs."""
        page = await runs.list_runs(self._services, None, RunsListParams(limit=_MOST_RUNS))
        ids = [run["pipeline_run_id"] for run in page["runs"]]
        return [run_id for run_id in ids if run_id.startswith(value)]


def _pipes_of(text: str) -> list[str]:
    try:
        pipes = tomli.loads(text).get("pipe")
    except (tomli.TOMLDecodeError, RecursionError):
        return []
    return list(pipes) if isinstance(pipes, dict) else []
