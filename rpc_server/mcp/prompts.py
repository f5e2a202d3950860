"""Prompts: what a person asks for with a slash, in hosts that show prompts so."""

from collections.abc import Mapping
from typing import Any

from orchestrators.plugins.mcp_features import Features, McpFault
from rpc_server.mcp.completions import Completions
from rpc_server.wire.errors import INVALID_PARAMS
from schemas.json_types import Json
from schemas.shown_text import fit_text

_METHOD = {"name": "method", "description": "The method's path in the workspace.", "required": True}
_PIPE = {"name": "pipe", "description": "The pipe to begin with; else the method's own.", "required": False}
_PURPOSE = {"name": "purpose", "description": "What the method is to do, in a sentence.", "required": True}

PROMPTS: dict[str, Json] = {
    "run_method": {
        "name": "run_method",
        "title": "Run a method",
        "description": "Gather the inputs of a method, run it, and explain its result.",
        "arguments": [_METHOD, _PIPE],
    },
    "fix_method": {
        "name": "fix_method",
        "title": "Fix a method",
        "description": "Check a method and fix every fault that is found.",
        "arguments": [_METHOD],
    },
    "write_method": {
        "name": "write_method",
        "title": "Write a method",
        "description": "Write a new method for a purpose, check it, and try it without calling a model.",
        "arguments": [_PURPOSE],
    },
}
_TEXTS = {
    "run_method": (
        "Run the method `{method}`{pipe}. First call `inputs_template` to see what it takes, and ask me for what you "
        "cannot tell. Then call `execute`, and explain the result in a few sentences. If it fails, follow "
        "`problem.next_step`."
    ),
    "fix_method": (
        "Call `validate` on the method `{method}`. Fix each fault it lists, at the file and line it names, changing "
        "as little as you can, and call `validate` again until `is_valid` is true. Then tell me what was wrong."
    ),
    "write_method": (
        "Write a new MTHDS method, a `.mthds` file, that does this: {purpose}\n"
        "Look at a method of the workspace first (`list_methods`, then its resource) to see how one is written. After "
        'each draft call `validate`, and fix what it lists. At the end call `execute` with `run_mode` set to "dry", '
        "and show me the inputs that it takes."
    ),
}


class Prompts(Features):
    """The three prompts."""

    def __init__(self, completions: Completions) -> None:
        self._completions = completions

    async def prompts(self) -> list[Json]:
        return list(PROMPTS.values())

    async def get_prompt(self, name: str, arguments: dict[str, str]) -> Json | None:
        prompt = PROMPTS.get(name)
        if prompt is None:
            return None
        for argument in prompt["arguments"]:
            if argument["required"] and not arguments.get(argument["name"]):
                raise McpFault(INVALID_PARAMS, f"The prompt `{name}` needs the argument `{argument['name']}`.")
        given = {argument: fit_text(value, None) for argument, value in arguments.items()}
        pipe = given.get("pipe")
        named = {**given, "pipe": f", beginning with the pipe `{pipe}`" if pipe else ""}
        text = _filled(_TEXTS[name], named)
        return {
            "description": prompt["description"],
            "messages": [{"role": "user", "content": {"type": "text", "text": text}}],
        }

    async def complete(
        self, ref: Mapping[str, Any], name: str, value: str, given: Mapping[str, str]
    ) -> list[str] | None:
        if ref.get("type") != "ref/prompt" or ref.get("name") not in PROMPTS:
            return None
        if name == "method":
            return await self._completions.methods(value)
        if name == "pipe" and given.get("method"):
            return await self._completions.pipes(given["method"], value)
        return []


def _filled(text: str, arguments: Mapping[str, str]) -> str:
    """The text with each `{name}` replaced; what is put in is not looked at again."""
    parts = text.split("{")
    filled = parts[0]
    for part in parts[1:]:
        name, _, rest = part.partition("}")
        filled += arguments.get(name, "") + rest
    return filled
