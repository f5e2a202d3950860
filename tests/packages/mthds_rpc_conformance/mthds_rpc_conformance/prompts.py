"""The prompts."""

from collections.abc import Mapping
from typing import Any

from mthds_rpc_conformance.contents import IMAGE, embedded, text

PARAMETERS = {
    "test_simple_prompt": {},
    "test_prompt_with_arguments": {"arg1": "First test argument", "arg2": "Second test argument"},
    "test_prompt_with_embedded_resource": {"resourceUri": "URI of the resource to embed"},
    "test_prompt_with_image": {},
}
"""The arguments of every prompt, each with its description; all are required."""


def definition(name: str) -> dict[str, Any]:
    arguments = [
        {"name": argument, "description": description, "required": True}
        for argument, description in PARAMETERS.get(name, {}).items()
    ]
    return {"name": name, "description": f"A prompt for testing: {name}", "arguments": arguments}


def messages(name: str, arguments: Mapping[str, str]) -> list[dict[str, Any]]:
    """The messages of a prompt, all of the user."""
    match name:
        case "test_prompt_with_arguments":
            contents = [text(f"Prompt with arguments: arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'")]
        case "test_prompt_with_embedded_resource":
            resource = embedded(arguments["resourceUri"], "text/plain", "Embedded resource content for testing.")
            contents = [resource, text("Please process the embedded resource above.")]
        case "test_prompt_with_image":
            contents = [IMAGE, text("Please analyze the image above.")]
        case _:
            contents = [text("This is a simple prompt for testing.")]
    return [{"role": "user", "content": content} for content in contents]
