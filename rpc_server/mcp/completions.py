"""What an argument may be, by its beginning: methods, pipes, runs."""

from rpc_server.calls import runs
from rpc_server.calls.services import Services
from rpc_server.workspace.method_folders import BUNDLE_SUFFIX, MAX_TOML_BYTES
from schemas.foreign_toml import BadToml, parse_toml
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
        texts = [text for path, text in (source.files or {}).items() if path.endswith(BUNDLE_SUFFIX)]
        names = _pipes_of([text for text in texts if isinstance(text, str)])
        return sorted(name for name in names if name.startswith(value))

    async def runs(self, value: str) -> list[str]:
        """The ids of the newest runs."""
        page = await runs.list_runs(self._services, RunsListParams(limit=_MOST_RUNS))
        ids = [run["pipeline_run_id"] for run in page["runs"]]
        return [run_id for run_id in ids if run_id.startswith(value)]


def _pipes_of(texts: list[str]) -> set[str]:
    """The pipes of some bundles, as many of them as may be read at once."""
    names: set[str] = set()
    left = MAX_TOML_BYTES
    for text in texts:
        left -= len(text)
        if left < 0:
            break
        try:
            pipes = parse_toml(text).get("pipe")
        except BadToml:
            continue
        names.update(pipes if isinstance(pipes, dict) else ())
    return names
