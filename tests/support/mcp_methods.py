"""Methods for the tests of the MCP side, as arguments of its tools. None needs a model."""

from pathlib import Path
from typing import Any

from tests.support.bundles import GREETING, SEQUENCE, python_method

_WAITING = """\
    import asyncio, os
    open({begun!r}, 'w').close()
    while not os.path.exists({release!r}):
        await asyncio.sleep(0.01)
    return TextContent(text=word)"""


def greeting(name: str = "Ann", **more: Any) -> dict[str, Any]:
    """One pipe; its output is `Hello <name>`."""
    return {"files": {"main.mthds": GREETING}, "inputs": {"name": name}, **more}


def sequence(**more: Any) -> dict[str, Any]:
    """A sequence of three pipes; its output is `hey!!!`."""
    return {"files": {"main.mthds": SEQUENCE}, "inputs": {"word": "hey"}, **more}


def failing(**more: Any) -> dict[str, Any]:
    """A method whose Python raises."""
    return _python("    raise ValueError('the scale is broken')", **more)


def large(size: int, **more: Any) -> dict[str, Any]:
    """A method whose output is a text of so many characters."""
    return _python(f"    return TextContent(text='x' * {size})", **more)


class Gate:
    """A method that says that it has begun, then waits until it is let through."""

    def __init__(self, folder: Path, name: str = "gate") -> None:
        self.begun = folder / f"{name}.begun"
        self._release = folder / f"{name}.release"

    def method(self, **more: Any) -> dict[str, Any]:
        """Its output is `through`."""
        body = _WAITING.format(begun=str(self.begun), release=str(self._release))
        source = python_method(body, is_async=True).model_dump()["files"]
        return {"files": source, "inputs": {"word": "through"}, **more}

    def open(self) -> None:
        """Let it through."""
        self._release.touch()


def _python(body: str, **more: Any) -> dict[str, Any]:
    return {"files": python_method(body).model_dump()["files"], "inputs": {"word": "x"}, **more}
