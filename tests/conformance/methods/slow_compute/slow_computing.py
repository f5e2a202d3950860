import asyncio

from pipelex.core.memory.working_memory import WorkingMemory
from pipelex.core.stuffs.text_content import TextContent
from pipelex.system.registries.func_registry import pipe_func


@pipe_func()
async def wait(working_memory: WorkingMemory) -> TextContent:
    await asyncio.sleep(float(working_memory.get_stuff_as_number("seconds").number))
    return TextContent(text=f"{working_memory.get_stuff_as_str('label')}: done")
