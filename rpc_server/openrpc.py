"""The OpenRPC document of this server, made from the method table. `python -m rpc_server.openrpc` prints it.

Shapes follow OpenRPC 1.3.2; schemas are JSON Schema 2020-12.
"""

import json
from typing import Any, cast

from mthds.protocol.problem.registry import CORE_CODE_SPECS
from pydantic.json_schema import models_json_schema

from rpc_server import versions
from rpc_server.dispatch import MethodSpec
from rpc_server.errors import COMMON_ERRORS, code_of
from rpc_server.methods.services import Services
from rpc_server.methods.table import wire_methods
from schemas.problem import Problem

_REF = "#/components/schemas/{model}"


def document() -> dict[str, Any]:
    """The whole document, the same for every server of one version."""
    table = wire_methods(_no_services, "")
    schemas = _schemas(list(table.values()))
    codes = sorted({code for spec in table.values() for code in spec.errors} | set(COMMON_ERRORS))
    return {
        "openrpc": "1.3.2",
        "info": {
            "title": "mthds-rpc",
            "version": versions.SERVER,
            "description": "Run MTHDS methods over JSON-RPC 2.0 on stdin and stdout.",
            "license": {"name": "Apache-2.0"},
        },
        "methods": [_method(spec, schemas) for spec in sorted(table.values(), key=lambda spec: spec.name)],
        "components": {
            "schemas": schemas["$defs"],
            "errors": {code: _error(code) for code in codes},
        },
    }


async def _no_services() -> Services:
    raise AssertionError("a description calls no handler")


def _schemas(specs: list[MethodSpec]) -> dict[str, Any]:
    params = [(spec.params_model, "validation") for spec in specs if spec.params_model is not None]
    results = [(spec.result_model, "serialization") for spec in specs if spec.result_model is not None]
    unique = list(dict.fromkeys([*params, *results, (Problem, "serialization")]))
    _, schemas = models_json_schema(cast("Any", unique), ref_template=_REF)
    return schemas


def _method(spec: MethodSpec, schemas: dict[str, Any]) -> dict[str, Any]:
    model = spec.params_model
    params = schemas["$defs"][model.__name__] if model is not None else {"properties": {}}
    required = set(params.get("required", ()))
    return {
        "name": spec.name,
        "summary": spec.summary,
        "paramStructure": "either",
        "params": [
            {"name": name, "required": name in required, "schema": schema, **_description(schema)}
            for name, schema in params["properties"].items()
        ],
        "result": {"name": "result", "schema": _result(spec)},
        "errors": [{"$ref": f"#/components/errors/{code}"} for code in sorted({*COMMON_ERRORS, *spec.errors})],
    }


def _description(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": schema["description"]} if "description" in schema else {}


def _result(spec: MethodSpec) -> dict[str, Any]:
    if isinstance(spec.result, dict):
        return spec.result
    assert spec.result_model is not None
    return {"$ref": _REF.format(model=spec.result_model.__name__)}


def _error(code: str) -> dict[str, Any]:
    known = CORE_CODE_SPECS.get(code)
    return {
        "code": code_of(code),
        "message": known.title if known is not None else code,
        "data": {"$ref": _REF.format(model="Problem"), "properties": {"code": {"const": code}}},
    }


if __name__ == "__main__":
    print(json.dumps(document(), indent=2, sort_keys=True))  # noqa: T201
