"""Methods for the tests of the MCP side, as arguments of its tools. None needs a model."""

from pathlib import Path
from typing import Any

from tests.support.bundles import GREETING, SEQUENCE, python_method

_WAITING = """\
    import asyncio, os
    place = {place}
    open(place + '.begun', 'w').close()
    while not os.path.exists(place + '.release'):
        await asyncio.sleep(0.01)
    return TextContent(text='through')"""


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
        self._place = str(folder / name)
        self.begun = folder / f"{name}.begun"
        self._release = folder / f"{name}.release"

    def method(self, **more: Any) -> dict[str, Any]:
        """Its output is `through`. Its place is an input: one method for all gates of a server, so one engine."""
        return {"files": _waiting_at("word"), "inputs": {"word": self._place}, **more}

    def files(self) -> dict[str, str]:
        """The same as a method of this gate alone, whatever its input `word`."""
        return _waiting_at(repr(self._place))

    def open(self) -> None:
        """Let it through."""
        self._release.touch()


def _waiting_at(place: str) -> dict[str, str]:
    files: dict[str, str] = python_method(_WAITING.format(place=place), is_async=True).model_dump()["files"]
    return files


def _python(body: str, **more: Any) -> dict[str, Any]:
    return {"files": python_method(body).model_dump()["files"], "inputs": {"word": "x"}, **more}
