"""Methods to draw, of any size; none needs a model."""

_PIPE = """
[pipe.{name}]
type = "PipeCompose"
description = "{description}"
inputs = {{ {input} = "Text" }}
output = "Text"
template = "{{{{ {input} }}}}."
"""

_SEQUENCE = """
[pipe.{name}]
type = "PipeSequence"
description = "{description}"
inputs = {{ {inputs} }}
output = "Text"
steps = [
{steps}]
"""

_PARALLEL = """
[pipe.{name}]
type = "PipeParallel"
description = "Look at it from two sides"
inputs = {{ {input} = "Text" }}
output = "Composite"
branches = [ {{ pipe = "{name}_left", result = "{name}_l" }}, {{ pipe = "{name}_right", result = "{name}_r" }} ]
add_each_output = true
"""

_CONDITION = """
[pipe.{name}]
type = "PipeCondition"
description = "Choose what to do with it"
inputs = {{ {input} = "Text" }}
output = "Text"
expression = "'long' if {input}.text|length > 3 else 'short'"
default_outcome = "{name}_short"
outcomes = {{ long = "{name}_long", short = "{name}_short" }}
"""


def chain(pipes: int) -> str:
    """One sequence of `pipes` steps, each of which takes what the one before gave; `step_1`, `step_2`, ..."""
    names = [f"step_{number}" for number in range(1, pipes + 1)]
    inputs = ["word", *(f"text_{number}" for number in range(1, pipes))]
    steps = [f'  {{ pipe = "{name}", result = "text_{number}" }},\n' for number, name in enumerate(names, 1)]
    parts = [
        'domain = "chain"\nmain_pipe = "all"\n',
        _SEQUENCE.format(name="all", description="One after another", inputs='word = "Text"', steps="".join(steps)),
        *(
            _PIPE.format(name=name, description=f"Work on {given}", input=given)
            for name, given in zip(names, inputs, strict=True)
        ),
    ]
    return "".join(parts)


def mixed(stages: int) -> str:
    """A sequence of `stages`, each a sequence of 10 pipes with itself: two sides at once, a choice, and steps."""
    steps = [
        f'  {{ pipe = "stage_{number}", result = "done_{number}" }},\n  {{ pipe = "shout_{number}", '
        f'batch_over = "words", batch_as = "one_word", result = "shouted_{number}" }},\n'
        for number in range(1, stages + 1)
    ]
    parts = [
        'domain = "mixed"\nmain_pipe = "all"\n',
        _SEQUENCE.format(
            name="all",
            description="All stages",
            inputs='word = "Text", words = "Text[]"',
            steps="".join([*steps, '  { pipe = "close", result = "closed" },\n']),
        ),
        _PIPE.format(name="close", description="Close the matter", input=f"done_{stages}"),
        *(_stage(number) for number in range(1, stages + 1)),
    ]
    return "".join(parts)


def _stage(number: int) -> str:
    given = "word" if number == 1 else f"done_{number - 1}"
    sides, choice = f"sides_{number}", f"choice_{number}"
    steps = [
        f'  {{ pipe = "{sides}", result = "both_{number}" }},\n',
        f'  {{ pipe = "{choice}", result = "chosen_{number}" }},\n',
        f'  {{ pipe = "finish_{number}", result = "done_{number}" }},\n',
    ]
    parts = [
        _SEQUENCE.format(
            name=f"stage_{number}", description=f"Stage {number}", inputs=f'{given} = "Text"', steps="".join(steps)
        ),
        _PARALLEL.format(name=sides, input=given),
        _PIPE.format(name=f"{sides}_left", description="From the left", input=given),
        _PIPE.format(name=f"{sides}_right", description="From the right", input=given),
        _CONDITION.format(name=choice, input=f"{sides}_l"),
        _PIPE.format(name=f"{choice}_long", description="For much text", input=f"{sides}_l"),
        _PIPE.format(name=f"{choice}_short", description="For little text", input=f"{sides}_l"),
        _PIPE.format(name=f"finish_{number}", description="Finish the stage", input=f"chosen_{number}"),
        _PIPE.format(name=f"shout_{number}", description="Say one word louder", input="one_word"),
    ]
    return "".join(parts)
