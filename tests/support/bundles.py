"""Small methods that many tests run. None needs a model."""

from schemas.method_source import MethodSource

GREETING = """
domain = "greeting"
main_pipe = "greet"

[pipe.greet]
type = "PipeCompose"
description = "Greet somebody by name"
inputs = { name = "Text" }
output = "Text"
template = "Hello {{ name }}"
"""

SEQUENCE = """
domain = "chain"
main_pipe = "all"

[pipe.all]
type = "PipeSequence"
description = "Say it three times"
inputs = { word = "Text" }
output = "Text"
steps = [
  { pipe = "one", result = "first" },
  { pipe = "two", result = "second" },
  { pipe = "three", result = "third" },
]

[pipe.one]
type = "PipeCompose"
description = "First"
inputs = { word = "Text" }
output = "Text"
template = "{{ word }}!"

[pipe.two]
type = "PipeCompose"
description = "Second"
inputs = { first = "Text" }
output = "Text"
template = "{{ first }}!"

[pipe.three]
type = "PipeCompose"
description = "Third"
inputs = { second = "Text" }
output = "Text"
template = "{{ second }}!"
"""

MODEL = """
domain = "model_call"
main_pipe = "ask"

[pipe.ask]
type = "PipeLLM"
description = "Ask a model"
inputs = { question = "Text" }
output = "Text"
prompt = "$question"
"""

_TWICE = """
[pipe.level_{level}]
type = "PipeSequence"
description = "Do what is below twice"
inputs = {{ word = "Text" }}
output = "Text"
steps = [ {{ pipe = "level_{below}", result = "first" }}, {{ pipe = "level_{below}", result = "second" }} ]
"""

_LEAF = """
[pipe.level_0]
type = "PipeCompose"
description = "Say it"
inputs = { word = "Text" }
output = "Text"
template = "{{ word }}"
"""


def nested(levels: int) -> str:
    """A bundle whose main pipe calls the one below twice, and that one likewise: 2^`levels` pipes at the bottom."""
    sequences = "".join(_TWICE.format(level=level, below=level - 1) for level in range(levels, 0, -1))
    return f'domain = "deep"\nmain_pipe = "level_{levels}"\n{sequences}{_LEAF}'


_PYTHON_BUNDLE = """
domain = "own_python"
main_pipe = "work"

[pipe.work]
type = "PipeFunc"
description = "Run this method's own Python"
inputs = {{ word = "Text" }}
output = "Text"
function_name = "{module}.work"
"""

_PYTHON_MODULE = """
from pipelex.core.memory.working_memory import WorkingMemory
from pipelex.core.stuffs.text_content import TextContent
from pipelex.system.registries.func_registry import pipe_func


@pipe_func()
{prefix}def work(working_memory: WorkingMemory) -> TextContent:
    word = working_memory.get_stuff_as_str("word")
{body}
"""


def python_method(body: str, *, module: str = "steps", is_async: bool = False) -> MethodSource:
    """A method whose one pipe runs `body`, indented by four spaces, with `word` at hand."""
    code = _PYTHON_MODULE.format(prefix="async " if is_async else "", body=body)
    return MethodSource(files={"main.mthds": _PYTHON_BUNDLE.format(module=module), f"{module}.py": code})
