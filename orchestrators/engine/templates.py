"""What a pipe takes, as a form to fill in."""

from typing import Any

from mthds.protocol.input_form import FieldKind, InputFormField
from mthds.protocol.inputs_template import (
    InputsTemplateFormat,
    keeps_envelope,
    project_inputs_template,
    render_inputs_template,
    slot_content_key,
)
from mthds.protocol.pipe_io_contracts import PresenceMarker
from pipelex.pipeline.build_pipe_io_artifacts import build_pipe_io_artifacts

from orchestrators.engine.libraries import LibraryCache
from orchestrators.engine.run import entry_pipe
from schemas.method_source import MethodSource


async def inputs_template(
    libraries: LibraryCache, source: MethodSource, digest: str, pipe_code: str | None
) -> dict[str, Any]:
    """`{pipe, json, toml, schema}` of a pipe, or of the entry pipe where none is named, as `InputsTemplate` dumps.

    `json` is what `execute` takes as `inputs`, with a placeholder in every slot; `toml` is the same with each input's
    concept above it; `schema` is the JSON Schema of `inputs`. Raises Pipelex's own errors for a method that does not
    load and for a pipe that is not there.
    """
    async with libraries.using(source, digest, dry=True) as library:
        pipe = await entry_pipe(library, pipe_code)
        artifacts = build_pipe_io_artifacts([pipe])
    descriptor = artifacts.input_form[pipe.pipe_ref]
    contracts = artifacts.pipe_io_contracts[pipe.pipe_ref].inputs
    definitions: dict[str, Any] = {}
    properties = {
        field.name: _slot_schema(contracts[field.name].json_schema, field, definitions) for field in descriptor.fields
    }
    required = [name for name, contract in contracts.items() if contract.presence != PresenceMarker.OPTIONAL]
    return {
        "pipe": pipe.pipe_ref,
        "json": project_inputs_template(descriptor=descriptor, explicit=False),
        "toml": render_inputs_template(descriptor=descriptor, explicit=False, output_format=InputsTemplateFormat.TOML),
        "schema": {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
            **({"$defs": definitions} if definitions else {}),
        },
    }


def _slot_schema(schema: dict[str, Any], field: InputFormField, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of what one input may be given as, the way the template gives it included.

    Its definitions move to `definitions`, where its references will look for them.
    """
    if keeps_envelope(node=field):
        content = _item_schema(schema, None, definitions)
        envelope = {"concept": {"type": "string"}, "content": content}
        return {"type": "object", "properties": envelope, "required": list(envelope)}
    if field.kind == FieldKind.LIST:
        return {**schema, "items": _item_schema(schema["items"], slot_content_key(node=field.item), definitions)}
    return _item_schema(schema, slot_content_key(node=field), definitions)


def _item_schema(schema: dict[str, Any], key: str | None, definitions: dict[str, Any]) -> dict[str, Any]:
    """A content of one value may be given as that value."""
    definitions.update(schema.get("$defs", {}))
    content = {name: value for name, value in schema.items() if name != "$defs"}
    bare = content.get("properties", {}).get(key)
    return {"anyOf": [bare, content]} if bare is not None else content
