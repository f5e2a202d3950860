"""The OpenRPC document of this server, made from the method table. `python -m rpc_server.openrpc` prints it.

Shapes follow OpenRPC 1.3.2; schemas are JSON Schema 2020-12.
"""

import json
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
from schemas.problem_codes import title_of

_REF = "#/components/schemas/{model}"


def document() -> dict[str, Any]:
    """The whole document, the same for every server of one version."""
    table = wire_methods(_no_services, "")
    schemas = _schemas(list(table.values()))
    return {
        "openrpc": "1.3.2",
        "info": {
            "title": "mthds-rpc",
            "version": versions.SERVER,
            "description": "Run MTHDS methods over JSON-RPC 2.0 on stdin and stdout.",
            "license": {"name": "Apache-2.0"},
        },
        "methods": [_method(spec, schemas) for spec in sorted(table.values(), key=lambda spec: spec.name)],
        "components": {"schemas": schemas["$defs"]},
    }


async def _no_services() -> Services:
    raise AssertionError("a description calls no handler")


def _schemas(specs: list[CallSpec]) -> dict[str, Any]:
    params = [(spec.params_model, "validation") for spec in specs if spec.params_model is not None]
    results = [(spec.result_model, "serialization") for spec in specs if spec.result_model is not None]
    unique = list(dict.fromkeys([*params, *results, (Problem, "serialization")]))
    _, schemas = models_json_schema(cast("Any", unique), ref_template=_REF)
    return schemas


def _method(spec: CallSpec, schemas: dict[str, Any]) -> dict[str, Any]:
    model = spec.params_model
    params = schemas["$defs"][model.__name__] if model is not None else {"properties": {}}
    required = set(params.get("required", ()))
    return {
        "name": spec.name,
        "summary": spec.summary,
        "paramStructure": "either",
        "params": [
            {"name": name, "required": name in required, "schema": schema, **_description(schema)}
            for name, schema in sorted(params["properties"].items(), key=_has_no_position)
        ],
        "result": {"name": "result", "schema": _result(spec)},
        "errors": _errors([*COMMON_ERRORS, *spec.errors]),
    }


def _has_no_position(param: tuple[str, Any]) -> bool:
    """`_meta` is given by name alone, so it comes last."""
    return param[0] == META


def _description(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": schema["description"]} if "description" in schema else {}


def _result(spec: CallSpec) -> dict[str, Any]:
    if isinstance(spec.result, dict):
        return spec.result
    assert spec.result_model is not None
    return {"$ref": _REF.format(model=spec.result_model.__name__)}


def _errors(codes: list[str]) -> list[dict[str, Any]]:
    """One error an integer, as OpenRPC asks, each with the problem codes that go out under it."""
    by_integer: dict[int, set[str]] = {PARSE_ERROR: {"request.malformed"}, CANCELLED: {"run.cancelled"}}
    for code in codes:
        by_integer.setdefault(_integer(code), set()).add(code)
    return [_error(integer, sorted(by_integer[integer])) for integer in sorted(by_integer)]


def _integer(code: str) -> int:
    spec = CORE_CODE_SPECS.get(code)
    return code_of(code, domain=spec.domain if spec is not None else "")


def _error(integer: int, codes: list[str]) -> dict[str, Any]:
    titles = {code: title_of(code) for code in codes}
    return {
        "code": integer,
        "message": ", ".join(sorted({f"{code.rpartition('.')[0]}.*" for code in codes})),
        "data": {"schema": {"$ref": _REF.format(model="Problem")}, "codes": titles},
    }


if __name__ == "__main__":
    print(json.dumps(document(), indent=2, sort_keys=True))  # noqa: T201
