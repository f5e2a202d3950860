"""The methods that the tests run. None needs a model."""

from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import anyio

from schemas.method_source import MethodSource

T = TypeVar("T")

GREETING = """
domain = "greeting"
main_pipe = "greet"

[pipe.greet]
type = "PipeCompose"
description = "Greet by name"
inputs = { name = "Text" }
output = "Text"
template = "Hello {{ name }}"

[pipe.greet_thrice]
type = "PipeSequence"
description = "Greet three times"
inputs = { name = "Text" }
output = "Text"
steps = [{ pipe = "greet", result = "a" }, { pipe = "greet", result = "b" }, { pipe = "greet", result = "c" }]
"""
"""Answers `Hello <name>`. The pipe `greet_thrice` starts and completes four pipes."""

INVALID = GREETING.replace('output = "Text"', 'output = "Txet"')
"""Names a concept that does not exist."""

OBEDIENT = MethodSource(
    dependencies={},
    files={
        "main.mthds": """
domain = "own_python"
main_pipe = "work"

[pipe.work]
type = "PipeFunc"
description = "Follow an order"
inputs = { word = "Text" }
output = "Text"
function_name = "obedient.work"
""",
        "obedient.py": """
import asyncio
import os
from pathlib import Path

from pipelex.core.memory.working_memory import WorkingMemory
from pipelex.core.stuffs.text_content import TextContent
from pipelex.system.registries.func_registry import pipe_func


@pipe_func()
async def work(working_memory: WorkingMemory) -> TextContent:
    order, _, place = working_memory.get_stuff_as_str("word").partition(" ")
    with open(place + ".begun", "a") as begun:
        begun.write("x")
    if order == "wait":
        await asyncio.sleep(3600)
    while order == "until" and not Path(place + ".go").exists():
        await asyncio.sleep(0.01)
    while order == "spin":
        pass
    if order == "fail":
        raise ValueError("it failed as ordered")
    if order == "die":
        os._exit(9)
    if order == "leak":
        print(os.environ["MY_API_KEY"], flush=True)
        raise ValueError("the key is " + os.environ["MY_API_KEY"])
    return TextContent(text="the key is " + os.environ["MY_API_KEY"] if order == "tell" else order)
""",
    },
)
"""Its input `word` is an order and a place; see `Order`. It needs a mode that may run Python."""


@dataclass(frozen=True)
class Order:
    """What one run of the obedient method does.

    `wait` waits an hour, `until` waits for `let_go`, `spin` never gives its thread back, `fail` raises, `die` ends its
    engine, `leak` raises with the variable MY_API_KEY in its text, `tell` returns it. Any other word is returned.
    """

    word: str
    place: Path
    """Files with this name, and an ending, belong to this run."""

    @property
    def inputs(self) -> dict[str, Any]:
        return {"word": f"{self.word} {self.place}"}

    @property
    def times_begun(self) -> int:
        """How often the method's Python began."""
        with suppress(FileNotFoundError):
            return len(self._file(".begun").read_text())
        return 0

    @property
    def has_begun(self) -> bool:
        return self.times_begun > 0

    def let_go(self) -> None:
        """Let a run with the order `until` complete."""
        self._file(".go").touch()

    async def let_go_during(self, call: Awaitable[T]) -> T:
        """The answer of a call that waits for the run, which completes once the call waits."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._let_go_later)
            answer = await call
        return answer  # noqa: RET504 - for mypy the block might swallow an error

    async def _let_go_later(self) -> None:
        await anyio.wait_all_tasks_blocked()
        self.let_go()

    def _file(self, ending: str) -> Path:
        return self.place.with_name(self.place.name + ending)
