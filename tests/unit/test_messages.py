from typing import Any

import pytest

from rpc_server.wire.messages import NotARequest, Request, id_in_head, read_request


@pytest.mark.parametrize("id_", ["1", "", 1, 0, -1, 10**300, 1.5, None])
def test_every_legal_id_makes_a_request(id_: Any) -> None:
    request = read_request({"jsonrpc": "2.0", "id": id_, "method": "m"})

    assert request == Request("m", None, id_, is_notification=False)


def test_a_request_without_an_id_is_a_notification() -> None:
    assert read_request({"jsonrpc": "2.0", "method": "m", "params": [1]}) == Request("m", [1], None, True)


@pytest.mark.parametrize("members", [{"id": 1, "result": None}, {"id": 1, "error": {}}, {"id": None, "error": {}}])
def test_a_response_is_no_request_and_no_fault(members: dict[str, Any]) -> None:
    assert read_request({"jsonrpc": "2.0", **members}) is None


@pytest.mark.parametrize("value", [1, "text", None, True, 1.5, [], [{}]])
def test_a_value_that_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(NotARequest) as fault:
        read_request(value)

    assert fault.value.id is None


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"jsonrpc": "2.0"},
        {"method": "m"},
        {"jsonrpc": "1.0", "method": "m"},
        {"jsonrpc": 2.0, "method": "m"},
        {"jsonrpc": "2.0", "method": 1},
        {"jsonrpc": "2.0", "method": None},
        {"jsonrpc": "2.0", "method": "m", "params": "text"},
        {"jsonrpc": "2.0", "method": "m", "params": 1},
    ],
)
def test_an_object_that_is_no_request_is_refused_under_its_own_id(members: dict[str, Any]) -> None:
    with pytest.raises(NotARequest) as fault:
        read_request({"id": 7, **members})

    assert fault.value.id == 7


@pytest.mark.parametrize("id_", [True, [], {}])
def test_an_id_of_another_type_is_refused_under_null(id_: Any) -> None:
    with pytest.raises(NotARequest) as fault:
        read_request({"jsonrpc": "2.0", "id": id_, "method": "m"})

    assert fault.value.id is None


@pytest.mark.parametrize("method", ["shutdown", "$/setTrace", "version"])
def test_null_params_count_as_absent(method: str) -> None:
    for members in ({}, {"id": 1}):
        request = read_request({"jsonrpc": "2.0", "method": method, "params": None, **members})
        assert request is not None
        assert request.params is None


@pytest.mark.parametrize(
    "members", [{}, {"jsonrpc": "1.0"}, {"jsonrpc": "2.0", "params": 1}, {"jsonrpc": None, "params": "text"}]
)
def test_a_notification_is_not_answered_whatever_is_wrong_with_it(members: dict[str, Any]) -> None:
    assert read_request({"method": "m", **members}) is None


@pytest.mark.parametrize(
    ("head", "id_"),
    [
        (b'{"jsonrpc":"2.0","id":7,"method":"m","params":{"x', 7),
        (b' {\n "id" : "a\\"b" , "x', 'a"b'),
        (b'{"id":1.5}', 1.5),
        (b'{"params":{"id":1,"a":[{"id":2}]},"id":3,', 3),
        (b'{"a":"\\\\","b":"{\\"id\\":1,","id":4,', 4),
        (b'{"id":12', None),
        (b'{"id":"abc', None),
        (b'{"id":null,', None),
        (b'{"id":true,', None),
        (b'{"id":{},', None),
        (b'{"id":1e999,', None),
        (b'{"id":x,', None),
        (b'{"id":"\xff",', None),
        (b'{"id"', None),
        (b'{"params":{"id":1,', None),
        (b'{"params":["id",1,', None),
        (b'{"x":"id","y":1,', None),
        (b'[{"id":1,', None),
        (b'"id":1,', None),
        (b"", None),
    ],
)
def test_an_id_is_found_in_the_head_of_a_message(head: bytes, id_: Any) -> None:
    assert id_in_head(head) == id_
