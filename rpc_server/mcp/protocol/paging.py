"""Lists in pages (MCP, "Pagination")."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrators.plugins.mcp_features import McpFault
from rpc_server.mcp.protocol.params import optional_text
from rpc_server.wire.errors import INVALID_PARAMS

_MARK = "after-"


def page(items: Sequence[Any], params: Mapping[str, Any], size: int, member: str) -> dict[str, Any]:
    """The page that `params.cursor` asks for, under `member`. Raises `McpFault` for an unknown cursor."""
    start = _start(optional_text(params, "cursor"), len(items))
    found: dict[str, Any] = {member: list(items[start : start + size])}
    if start + size < len(items):
        found["nextCursor"] = f"{_MARK}{start + size}"
    return found


def _start(cursor: str | None, count: int) -> int:
    if not cursor:
        return 0
    digits = cursor.removeprefix(_MARK)
    if digits == cursor or not (digits.isascii() and digits.isdigit()) or len(digits) > len(str(count)):
        raise McpFault(INVALID_PARAMS, "There is no such cursor; begin without one.")
    # A list that has become shorter meanwhile ends here.
    return min(int(digits), count)
