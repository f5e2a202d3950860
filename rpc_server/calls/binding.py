"""From the params of a call, by name or by position, to an instance of its params model."""

from typing import TYPE_CHECKING, Any

from rpc_server.wire.errors import nearest_name, shortened
from rpc_server.wire.json_text import JsonFault, parse, utf_8

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

    from schemas.problem import ProblemError, ProblemItem

META = "_meta"

_FREE = ("inputs", META)
"""Params whose members are taken as they are, so that there may be any number of them."""
_CONTAINERS = (dict, list)
_MOST_MEMBERS = 20_000
_MAX_DEPTH = 128

_MAX_FAULTS = 20
_EXAMPLES = {
    "dict_type": "an object, such as {}",
    "model_type": "an object, such as {}",
    "model_attributes_type": "an object, such as {}",
    "list_type": "an array, such as []",
    "string_type": 'a string, such as "text"',
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number, such as 1",
    "int_parsing": "a whole number, such as 1",
    "int_from_float": "a whole number, such as 1",
    "float_type": "a number, such as 1.5",
    "float_parsing": "a number, such as 1.5",
}
_STRUCTURED = ("dict_type", "model_type", "model_attributes_type", "list_type")


def bind(model: "type[BaseModel] | None", positional: tuple[Any, ...], named: dict[str, Any]) -> "BaseModel | None":
    """The params as an instance of `model`; None for a method that takes none.

    Raises ProblemError coded `request.invalid` that names each param at fault.
    """
    if model is None and not positional and not named.keys() - {META}:
        return None
    names = _names(model)
    if len(positional) > len(names):
        raise _refused(f"The method takes at most {len(names)} params by position, not {len(positional)}.")
    params = dict(zip(names, positional, strict=False)) if positional else named
    unknown = [name for name in params if name not in names and name != META]
    if model is None or unknown:
        raise _unknown(unknown, names)
    return _validated(model, params)


def _names(model: "type[BaseModel] | None") -> list[str]:
    """The params in their order; `_meta` has no position."""
    if model is None:
        return []
    names = [field.alias or name for name, field in model.model_fields.items()]
    return [name for name in names if name != META]


def _validated(model: "type[BaseModel]", params: dict[str, Any]) -> "BaseModel":
    from pydantic import ValidationError

    _refuse_too_many(params)
    try:
        return model.model_validate(params)
    except ValidationError as error:
        decoded = _with_texts_decoded(params, error)
        if decoded is None:
            raise _invalid(error) from None
    _refuse_too_many(decoded)
    try:
        return model.model_validate(decoded)
    except ValidationError as error:
        raise _invalid(error) from None


def _refuse_too_many(params: dict[str, Any]) -> None:
    """Reporting a member that is not valid costs microseconds and half a kilobyte: millions would stop the server."""
    for name, value in params.items():
        if name not in _FREE and isinstance(value, _CONTAINERS) and _members_of(value) > _MOST_MEMBERS:
            detail = f"The param `{shortened(name)}` has more than {_MOST_MEMBERS} members."
            raise _refused(detail, [_item_of(shortened(name), detail, shortened(name))])


def _members_of(value: dict[str, Any] | list[Any]) -> int:
    """Of the value, and of those right below it."""
    inner = value.values() if isinstance(value, dict) else value
    return len(value) + sum(len(item) for item in inner if isinstance(item, _CONTAINERS))


def _with_texts_decoded(params: dict[str, Any], error: "ValidationError") -> dict[str, Any] | None:
    """`params` with objects and arrays that came as JSON texts, as some hosts send them, read; None if none did."""
    decoded = {}
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        name = str(fault["loc"][0])
        text = params.get(name)
        if fault["type"] in _STRUCTURED and len(fault["loc"]) == 1 and isinstance(text, str):
            try:
                decoded[name] = parse(utf_8(text), _MAX_DEPTH)
            except JsonFault:
                continue
    return {**params, **decoded} if decoded else None


def _invalid(error: "ValidationError") -> "ProblemError":
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    items = [_item(fault) for fault in faults[:_MAX_FAULTS]]
    return _refused(items[0].detail, items)


def _item(fault: "ErrorDetails") -> "ProblemItem":
    path = [str(part) for part in fault["loc"]]
    field = shortened(_path_text(path))
    expected = _EXAMPLES.get(fault["type"])
    reason = f"expected {expected}" if expected else fault["msg"][:1].lower() + fault["msg"][1:]
    return _item_of(field, f"The param `{field}` is not valid: {reason}.", path[0] if path else None)


def _item_of(field: str, detail: str, param: str | None) -> "ProblemItem":
    """`field` may lead into `param`."""
    from schemas.problem import Location, ProblemItem

    location = Location(field=param)
    return ProblemItem(code="request.invalid", detail=detail, params={"field": field}, location=location)


def _path_text(path: list[str]) -> str:
    return "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in path).lstrip(".")


def _unknown(unknown: list[str], names: list[str]) -> "ProblemError":
    from schemas.problem import Location, ProblemItem

    items = []
    for name in unknown[:_MAX_FAULTS]:
        nearest = nearest_name(name, names)
        hint = f" Did you mean `{nearest}`?" if nearest else "" if names else " The method takes no params."
        items.append(
            ProblemItem(
                code="request.invalid",
                detail=f"There is no param `{shortened(name)}`.{hint}",
                params={"field": shortened(name)},
                location=Location(field=shortened(name)),
                suggestions=[nearest] if nearest else None,
            )
        )
    return _refused(items[0].detail, items)


def _refused(detail: str, items: "list[ProblemItem] | None" = None) -> "ProblemError":
    from schemas.problem import problem_error

    return problem_error(
        "request.invalid",
        detail,
        next_step=("change_input", "Correct the params, then send the request again; `rpc.discover` describes them."),
        params=items[0].params if items else None,
        errors=items,
    )
