"""The URIs of runs."""

from urllib.parse import quote, unquote

_PREFIX = "mthds://runs/"


def run_uri(run_id: str) -> str:
    """The resource of a run."""
    return _PREFIX + quote(run_id, safe="")


def run_id_of(uri: str) -> str | None:
    """The run that a URI is about, or about a part of; None for any other URI."""
    return run_part(uri)[0]


def run_part(uri: str) -> tuple[str | None, str]:
    """The run that a URI is about, and the part of it after the id, such as `events`; `""` for the run itself."""
    if not uri.startswith(_PREFIX):
        return None, ""
    run_id, _, part = uri.removeprefix(_PREFIX).partition("/")
    return (unquote(run_id) or None), unquote(part)
