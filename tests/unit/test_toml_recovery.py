"""Syntax errors: each independent one once, at its place, and the rest still readable."""

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from orchestrators.engine.validation.toml_recovery import recover


def underlined(text: str) -> list[str]:
    return [text[fault.span.start : fault.span.end] for fault in recover(text).faults]


def test_a_text_that_parses_has_no_faults_and_stays_as_it_is() -> None:
    recovery = recover("a = 1\n[b]\nc = 2\n")

    assert (recovery.text, recovery.faults, recovery.is_whole) == ("a = 1\n[b]\nc = 2\n", [], True)


def test_errors_in_several_statements_are_all_found() -> None:
    text = 'a = "open\nb = 2\nc = \n[t]\nd = 1 2\ne = 3\n'

    recovery = recover(text)

    assert underlined(text) == ['a = "open', "c = ", "2"]
    assert tomli.loads(recovery.text) == {"b": 2, "t": {"e": 3}}
    assert recovery.is_whole


def test_what_follows_a_broken_statement_directly_is_not_told_as_a_second_error() -> None:
    text = "a = (\n  1,\n)\nb = 2\n"

    assert underlined(text) == ["("]
    assert tomli.loads(recover(text).text) == {"b": 2}


@pytest.mark.parametrize(
    "text", ["a = [1,\n[t]\nb = 2\n", 'a = """never closed\n[t]\nb = 2\n'], ids=["array", "string"]
)
def test_what_never_ends_is_underlined_where_it_begins(text: str) -> None:
    recovery = recover(text)

    assert underlined(text) == [text.partition("\n")[0]]
    assert not recovery.is_whole


def test_a_broken_header_ends_the_recovery_since_its_keys_would_change_tables() -> None:
    recovery = recover("[t\na = 1\n[u]\nb = = 2\n")

    assert len(recovery.faults) == 1
    assert not recovery.is_whole


def test_a_key_given_twice_is_blanked_and_the_first_kept() -> None:
    text = "a = 1\na = 2\nb = 3\n"

    assert underlined(text) == ["a = 2"]
    assert tomli.loads(recover(text).text) == {"a": 1, "b": 3}


def test_positions_survive_with_carriage_returns_and_astral_characters() -> None:
    text = 'a = "😀\r\nb = 2\r\nc = 😀\r\n'

    recovery = recover(text)

    assert underlined(text) == ['a = "😀', "😀"]
    assert len(recovery.text) == len(text)
    assert [len(line) for line in recovery.text.split("\n")] == [len(line) for line in text.split("\n")]


def test_nesting_no_parser_takes_is_a_fault() -> None:
    text = "ok = 1\ndeep = " + "[" * 2000 + "]" * 2000 + "\n"

    [fault] = recover(text).faults

    assert fault.finding == "arrays and tables nest too deeply"
    assert text[fault.span.start :].startswith("deep")


@given(st.text(st.sampled_from("ab.=[]{}\"'#,\\ \t\r\n😀1-")))
def test_recovery_ends_for_every_text_and_keeps_every_position(text: str) -> None:
    recovery = recover(text)

    assert len(recovery.text) == len(text)
    assert recovery.is_whole or recovery.faults
    assert all(0 <= fault.span.start <= fault.span.end <= len(text) for fault in recovery.faults)
    if recovery.is_whole:
        tomli.loads(recovery.text)


@pytest.mark.parametrize(
    ("broken", "finding"),
    [
        ("[x]\ny = { " + ".".join(["b"] * 1001) + " = 1 }", "a key has more than 20 parts"),
        (".".join(["b"] * 1001) + " = 1", "a key has more than 20 parts"),
        ("[" + ".".join(["b"] * 999) + "]\n" + (".".join(["c"] * 999) + " = 1\n") * 300, "more than 20 parts"),
        ("b = " + "9" * 5000, "a number has more than 1000 digits"),
        ("b = [0x" + "f" * 5000 + "]", "a number has more than 1000 digits"),
        ("b = " + "[{c = " * 300, "arrays and tables nest too deeply"),
    ],
)
def test_what_is_legal_but_too_much_is_reported_at_its_place(broken: str, finding: str) -> None:
    (fault,) = recover(f"a = 1\n{broken}").faults

    assert finding in fault.finding
    assert len("a = 1\n") <= fault.span.start <= len("a = 1\n[x]\ny = { ")
    assert broken[fault.span.start - len("a = 1\n") :].startswith(("b.b", "b = ", "9999", "0xff"))


def test_no_more_errors_are_looked_for_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrators.engine.validation.toml_recovery._MAX_S", 0.0)

    recovery = recover("a = = 1\nb = 2\nc = = 3\nd = 4\ne = = 5\n")

    assert len(recovery.faults) == 1
    assert not recovery.is_whole
