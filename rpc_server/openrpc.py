"""The OpenRPC document of this server, made from the method table. `python -m rpc_server.openrpc` prints it.

Shapes follow OpenRPC 1.3.2; schemas are JSON Schema 2020-12.
"""

import json
from collections.abc import Iterable
from typing import Any, cast

from mthds.protocol.problem.registry import CORE_CODE_SPECS
from pydantic.json_schema import models_json_schema

from rpc_server import versions
from rpc_server.calls.binding import META
from rpc_server.calls.call_spec import CallSpec
from rpc_server.calls.errors import COMMON_ERRORS, code_of
from rpc_server.calls.services import Services
from rpc_server.calls.table import wire_methods
from rpc_server.wire.errors import CANCELLED, PARSE_ERROR
from schemas.problem import Problem
from schemas.problem_codes import problem_code

_REF = "#/components/schemas/{model}"


def document() -> dict[str, Any]:
    """The whole document, the same for every server of one version."""
    specs = sorted(wire_methods(_no_services, "").values(), key=lambda spec: spec.name)
    schemas = _schemas(specs)
    errors = {str(error["code"]): error for error in _errors(COMMON_ERRORS)}
    return {
        "openrpc": "1.3.2",
        "info": {
            "title": "mthds-rpc",
            "version": versions.SERVER,
            "description": "Run MTHDS methods over JSON-RPC 2.0 on stdin and stdout.",
            "license": {"name": "Apache-2.0"},
        },
        "methods": [_method(spec, schemas, errors) for spec in specs],
        "components": {"schemas": schemas, "errors": errors},
    }


async def _no_services() -> Services:
    raise AssertionError("a description calls no handler")


def _schemas(specs: list[CallSpec]) -> dict[str, Any]:
    params = [(spec.params_model, "validation") for spec in specs if spec.params_model is not None]
    results = [(spec.result_model, "serialization") for spec in specs if spec.result_model is not None]
    unique = list(dict.fromkeys([*params, *results, (Problem, "serialization")]))
    _, schemas = models_json_schema(cast("Any", unique), ref_template=_REF)
    return cast("dict[str, Any]", schemas["$defs"])


def _method(spec: CallSpec, schemas: dict[str, Any], errors: dict[str, Any]) -> dict[str, Any]:
    params = schemas[model.__name__] if (model := spec.params_model) else {"properties": {}}
    required = set(params.get("required", ()))
    return {
        "name": spec.name,
        "summary": spec.summary,
        "paramStructure": "either",
        "params": [
            {"name": name, "required": name in required, "schema": schema, **_description(schema)}
            # `_meta` is given by name alone, so it comes last.
            for name, schema in sorted(params["properties"].items(), key=lambda param: param[0] == META)
        ],
        "result": {"name": "result", "schema": _result(spec)},
        "errors": [_reference(error, spec.name, errors) for error in _errors([*COMMON_ERRORS, *spec.errors])],
    }


def _description(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": schema["description"]} if "description" in schema else {}


def _result(spec: CallSpec) -> Any:
    model = spec.result_model
    return spec.result if model is None else {"$ref": _REF.format(model=model.__name__)}


def _reference(error: dict[str, Any], method: str, errors: dict[str, Any]) -> dict[str, Any]:
    """A reference to an error. One that is new is added to `errors`, with this method in its name."""
    if error not in errors.values():
        errors[f"{error['code']}.{method.replace('/', '.')}"] = error
    (name,) = [name for name in errors if errors[name] == error]
    return {"$ref": f"#/components/errors/{name}"}


def _errors(codes: Iterable[str]) -> list[dict[str, Any]]:
    """One error an integer, as OpenRPC asks, each with the problem codes that go out under it."""
    by_integer: dict[int, set[str]] = {PARSE_ERROR: {"request.malformed"}, CANCELLED: {"run.cancelled"}}
    for code in codes:
        spec = CORE_CODE_SPECS.get(code)
        integer = code_of(code, domain=spec.domain if spec else "")
        by_integer.setdefault(integer, set()).add(code)
    return [_error(integer, sorted(by_integer[integer])) for integer in sorted(by_integer)]


def _error(integer: int, codes: list[str]) -> dict[str, Any]:
    return {
        "code": integer,
        "message": ", ".join(sorted({f"{code.rpartition('.')[0]}.*" for code in codes})),
        "data": {
            "schema": {"$ref": _REF.format(model="Problem")},
            "codes": {code: problem_code(code).title for code in codes},
        },
    }


if __name__ == "__main__":
    print(json.dumps(document(), indent=2, sort_keys=True))  # noqa: T201
