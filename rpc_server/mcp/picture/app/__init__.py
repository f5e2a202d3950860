"""The page that draws the picture of a run, for hosts with MCP Apps: one HTML document that needs nothing else."""

import re
from functools import cache
from importlib.resources import files

_PART = re.compile(r"/\* part: ([\w./-]+) \*/")
_SOURCE_MAP = re.compile(r"^//# sourceMappingURL=.*$", re.MULTILINE)


@cache
def page() -> str:
    """The whole document, put together from the files of this package when it is first asked for."""
    return _PART.sub(lambda part: _text(part[1]), _text("page.html"))


def _text(name: str) -> str:
    """A file of this package; without a reference to a source map, which a browser would go and look for."""
    return _SOURCE_MAP.sub("", files(__package__).joinpath(name).read_text("utf-8"))
