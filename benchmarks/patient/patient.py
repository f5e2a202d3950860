"""The method's Python: each time it begins, its process's id goes into a file; it ends once another file is there."""

import asyncio
import os
from pathlib import Path

from pipelex.core.memory.working_memory import WorkingMemory
from pipelex.core.stuffs.text_content import TextContent
from pipelex.system.registries.func_registry import pipe_func


@pipe_func()
async def wait(working_memory: WorkingMemory) -> TextContent:
    place = working_memory.get_stuff_as_str("place")
    _tell(f"{place}.begun")
    while not _is_there(f"{place}.go"):  # noqa: ASYNC110 - the file is another process's
        await asyncio.sleep(0.01)
    return TextContent(text="it was let go")


def _tell(file: str) -> None:
    with open(file, "a", encoding="utf-8") as begun:
        begun.write(f"{os.getpid()}\n")


def _is_there(file: str) -> bool:
    return Path(file).exists()
