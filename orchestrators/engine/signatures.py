"""What a pipe takes and gives, in the simplest form that a caller can write."""

from typing import Any

from mthds.protocol.input_form import FieldKind, InputFormField, InputFormItem
from mthds.protocol.inputs_template import keeps_envelope, slot_content_key
from mthds.protocol.pipe_io_contracts import IOMultiplicity, PipeOutputContract, PresenceMarker
from pipelex.pipeline.build_pipe_io_artifacts import build_pipe_io_artifacts

from orchestrators.engine.libraries import LibraryCache
from orchestrators.engine.run import entry_pipe
from schemas.method_source import MethodSource

_FILE_KINDS = frozenset({FieldKind.DOCUMENT, FieldKind.IMAGE})
_NATIVE = "native."

Schema = dict[str, Any]


async def signature(
    libraries: LibraryCache, source: MethodSource, digest: str, pipe_code: str | None
) -> dict[str, Any]:
    """The `MethodSignature` of a pipe, or of the entry pipe where none is named.

    Raises Pipelex's own errors for a method that does not load and for a pipe that is not there.
    """
    async with libraries.using(source, digest, dry=True) as library:
        pipe = await entry_pipe(library, pipe_code)
        artifacts = build_pipe_io_artifacts([pipe])
    fields = artifacts.input_form[pipe.pipe_ref].fields
    contract = artifacts.pipe_io_contracts[pipe.pipe_ref]
    return {
        "pipe": pipe.pipe_ref,
        "description": pipe.description,
        "inputs": _inputs_schema(fields, {name: given.json_schema for name, given in contract.inputs.items()}),
        "output": contract.output.json_schema,
        "output_concept": _concept_of(contract.output),
        "output_description": pipe.output.concept.description,
        "output_optional": contract.output.optional,
        "file_inputs": [field.name for field in fields if _item(field).kind in _FILE_KINDS],
        "envelopes": {field.name: str(field.concept_ref) for field in fields if keeps_envelope(node=field)},
    }


def _inputs_schema(fields: list[InputFormField], contents: dict[str, Schema]) -> Schema:
    definitions: Schema = {}
    properties = {field.name: _input_schema(field, contents[field.name], definitions) for field in fields}
    schema: Schema = {
        "type": "object",
        "properties": properties,
        "required": [field.name for field in fields if field.presence != PresenceMarker.OPTIONAL],
        "additionalProperties": False,
    }
    return {**schema, "$defs": definitions} if definitions else schema


def _input_schema(field: InputFormField, content: Schema, definitions: Schema) -> Schema:
    """The schema of one input; the definitions it refers to move to `definitions`."""
    definitions.update(content.get("$defs", {}))
    if field.kind != FieldKind.LIST:
        return _described(_value_schema(field, content), field)
    definitions.update(content["items"].get("$defs", {}))
    return _described({**content, "items": _value_schema(field.item, content["items"])}, field)


def _value_schema(node: InputFormItem, content: Schema) -> Schema:
    """A content of one value is given as that value, a file by its place, any other content as it is."""
    if node.kind in _FILE_KINDS:
        return {"type": "string", "description": "A path inside the workspace, or an http(s) URL."}
    plain = {name: value for name, value in content.items() if name != "$defs"}
    if keeps_envelope(node=node):
        return plain
    bare: Schema | None = plain.get("properties", {}).get(slot_content_key(node=node))
    return plain if bare is None else bare


def _described(schema: Schema, field: InputFormField) -> Schema:
    """The schema with what the method's author says of the concept; a native concept's own text says nothing new."""
    ref = field.concept_ref or ""
    if ref.startswith(_NATIVE) or not field.description:
        return schema
    if _item(field).kind in _FILE_KINDS and field.kind != FieldKind.LIST:
        return {**schema, "description": f"{_sentence(field.description)} {schema['description']}"}
    return {**schema, "description": field.description}


def _item(field: InputFormField) -> InputFormItem:
    return field.item if field.kind == FieldKind.LIST else field


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _concept_of(output: PipeOutputContract) -> str:
    """The concept as bundles write it: `domain.Concept`, `domain.Concept[]`, `domain.Concept[2]`."""
    if output.multiplicity == IOMultiplicity.SINGLE:
        return output.concept_ref
    return f"{output.concept_ref}[{output.item_count or ''}]"
