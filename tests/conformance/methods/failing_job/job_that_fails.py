import asyncio

from pipelex.core.memory.working_memory import WorkingMemory
from pipelex.core.stuffs.text_content import TextContent
from pipelex.system.registries.func_registry import pipe_func


@pipe_func()
async def fail(working_memory: WorkingMemory) -> TextContent:
    await asyncio.sleep(1.5)
    raise RuntimeError("This job always fails")
