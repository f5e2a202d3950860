import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc_server.wire.json_text import JsonFault, encode, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a":[1,2.5,null,true]}', {"a": [1, 2.5, None, True]}),
        (b"\xef\xbb\xbf[]", []),
        ('"é—𝄞"'.encode(), "é—𝄞"),
        (b'"\\ud800"', "\ud800"),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b"1" * 1000, int("1" * 1000)),
        (b" [ ] ", []),
    ],
)
def test_a_json_text_is_read(text: bytes, value: Any) -> None:
    assert parse(text, 10) == value


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"[1,]", "not JSON"),
        (b"[] []", "not JSON"),
        (b'"\x01"', "not JSON"),
        (b"[NaN]", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"[1e999]", "too large"),
        (b"[" + b"9" * 5000 + b"]", "too many digits"),
        (b'"\xff"', "not UTF-8 (byte 1)"),
        ("[]".encode("utf-16"), "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
    ],
)
def test_what_is_no_strict_json_is_refused_and_told(text: bytes, detail: str) -> None:
    with pytest.raises(JsonFault) as fault:
        parse(text, 10)

    assert detail in str(fault.value)


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 10 + b"]" * 10,
        b'{"a":' * 10 + b"1" + b"}" * 10,
        b'[{"a":[{"a":[{"a":[{"a":[{}]}]}]}]}]',
        b"[" + b",".join([b"[[]]"] * 1000) + b"]",
        json.dumps(["[{" * 500, '"[\\"[' * 50]).encode(),
    ],
)
def test_json_as_deep_as_the_limit_is_read(text: bytes) -> None:
    assert parse(text, 10) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 11 + b"]" * 11,
        b'[{"a":' * 6 + b"1" + b"}]" * 6,
        b"[" * 1_000_000,
        b"[" * 1_000_000 + b"]" * 1_000_000,
        b'{"a":' * 100_000,
        b"[" + b",".join([b"[[]]"] * 1000 + [b"[" * 10 + b"]" * 10]) + b"]",
        b'"' + b"[" * 100_000 + b'",' + b"[" * 100_000,
    ],
)
def test_json_deeper_than_the_limit_is_refused_however_deep(text: bytes) -> None:
    with pytest.raises(JsonFault) as fault:
        parse(text, 10)

    assert "nested deeper than 10" in str(fault.value)


@pytest.mark.parametrize("part", [b"[],", b'{"":{}},'])
def test_more_arrays_and_objects_than_memory_should_hold_are_refused(part: bytes) -> None:
    text = b"[" + part * 2_000_000 + b"[]]"

    with pytest.raises(JsonFault) as fault:
        parse(text, 10)

    assert "more than 2000000 arrays and objects" in str(fault.value)


def test_brackets_in_a_string_are_no_arrays() -> None:
    text = b"[[]" * 1_000_000

    assert parse(b'["' + text + b'"]', 10) == [text.decode()]


nested = st.recursive(
    st.none() | st.text(alphabet='[]{}"\\ax', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[{"', max_size=3), inner, max_size=3),
    max_leaves=40,
)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@given(nested, st.integers(0, 6))
def test_the_depth_is_counted_as_the_value_is_nested(value: Any, limit: int) -> None:
    text = encode(value)

    if depth_of(value) <= limit:
        assert parse(text, limit) == value
    else:
        with pytest.raises(JsonFault):
            parse(text, limit)


@given(st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.lists(st.text()))
def test_what_is_written_is_one_line_of_utf_8_that_reads_as_the_same(value: Any) -> None:
    text = encode(value)

    assert b"\n" not in text
    assert parse(text, 10) == value


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("\ud800", "\N{REPLACEMENT CHARACTER}"),
        ("a\udfff\udfffé", "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}é"),
        ("\ud83d" + "\ude00", "\N{GRINNING FACE}"),
        ("\ude00\ud83d𝄞", "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}𝄞"),
    ],
)
def test_a_lone_surrogate_is_written_as_the_replacement_character(text: str, read: str) -> None:
    written = encode({text: [text]})

    assert json.loads(written) == {read: [read]}
    assert b"\\u" not in written


@given(st.text(alphabet=st.sampled_from('\x85\u2028\u2029\ud800é\\"a\r\n\x0b\x1c')))
def test_what_is_written_is_one_line_to_every_host(text: str) -> None:
    written = encode([text]).decode()

    assert written.splitlines() == [written]
    assert json.loads(written) == [text.replace("\ud800", "\N{REPLACEMENT CHARACTER}")]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_what_json_cannot_hold_is_an_error(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode([value])
