"""Lists in pages."""

from typing import Any

import pytest

from orchestrators.plugins.mcp_features import McpFault
from rpc_server.mcp.protocol.paging import page


def test_a_short_list_is_one_page() -> None:
    assert page(["a", "b"], {}, 2, "items") == {"items": ["a", "b"]}


def test_following_the_cursors_gives_every_item_once() -> None:
    items = list(range(7))
    seen: list[int] = []
    params: dict[str, Any] = {}
    while True:
        found = page(items, params, 3, "items")
        seen += found["items"]
        if "nextCursor" not in found:
            break
        params = {"cursor": found["nextCursor"]}
    assert seen == items


def test_an_empty_cursor_is_the_beginning() -> None:
    assert page(["a"], {"cursor": ""}, 1, "items") == {"items": ["a"]}


def test_a_cursor_of_a_list_that_became_shorter_ends_it() -> None:
    cursor = page(list(range(9)), {}, 8, "items")["nextCursor"]
    assert page([1, 2], {"cursor": cursor}, 8, "items") == {"items": []}


@pytest.mark.parametrize(
    "cursor", ["nonsense", "after-", "after--1", "after-x", "after-²", "after-" + "9" * 5000, 7, {}]
)
def test_a_cursor_of_nobody_is_refused(cursor: Any) -> None:
    with pytest.raises(McpFault) as refused:
        page([1, 2, 3], {"cursor": cursor}, 2, "items")
    assert refused.value.code == -32602
