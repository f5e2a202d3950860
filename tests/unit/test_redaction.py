import json
import logging
import os
import sys
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrators.engines import engine_output
from orchestrators.engines.engine_output import EngineOutput
from rpc_server.redaction import MASK, RedactingFormatter, Redactor, masked_setting


@pytest.mark.parametrize(
    "name",
    [
        "OPENAI_API_KEY",
        "openai_api_key",
        "GITHUB_TOKEN",
        "MY_SECRET",
        "PGPASSWORD",
        "AWS_CREDENTIAL",
        "BASIC_AUTH",
        "X_PASSWD",
    ],
)
def test_the_value_of_a_secret_is_masked_wherever_it_stands(name: str) -> None:
    redactor = Redactor({name: "sk-12345678"})

    assert redactor.text("refused: sk-12345678, said Bearer sk-12345678.") == f"refused: {MASK}, said Bearer {MASK}."


@pytest.mark.parametrize(
    "environ", [{}, {"HOME": "/home/someone"}, {"API_KEY": "short"}, {"GIT_AUTHOR_NAME": "Ada Lovelace"}]
)
def test_what_is_no_secret_is_left_alone(environ: dict[str, str]) -> None:
    text = "/home/someone runs short things for Ada Lovelace"

    assert Redactor(environ).text(text) == text


def test_a_secret_that_another_begins_with_is_masked_too() -> None:
    redactor = Redactor({"A_KEY": "abcdefgh", "B_KEY": "abcdefgh-and-more"})

    assert redactor.text("abcdefgh-and-more abcdefgh") == f"{MASK} {MASK}"


def test_the_password_of_a_url_is_a_secret_whatever_the_name() -> None:
    redactor = Redactor({"DATABASE_URL": "postgres://ada:p4ssw0rd!x@db.example/runs"})

    assert redactor.text("cannot log in with p4ssw0rd!x") == f"cannot log in with {MASK}"


@pytest.mark.parametrize("written", [lambda text: json.dumps(text)[1:-1], repr, lambda text: quote(text, safe="")])
def test_a_secret_is_masked_however_it_is_written(written: Callable[[str], str]) -> None:
    secret = 'p/"4\\ss wörd@1'
    redactor = Redactor({"A_TOKEN": secret})

    assert secret not in redactor.text(written(secret))
    assert MASK in redactor.text(written(secret))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:p4ss/w0rd@db/runs",
        "postgresql://ada@db/runs?password=p4ss/w0rd",
        "host=db user=ada password='p4ss/w0rd'",
    ],
)
def test_a_password_in_the_settings_is_a_secret_once_they_are_read(url: str) -> None:
    redactor = Redactor({})

    redactor.learn({"nested": {"database_url": url}})

    assert redactor.text("cannot log in with p4ss/w0rd") == f"cannot log in with {MASK}"


def test_each_line_of_a_secret_is_masked() -> None:
    redactor = Redactor({"PRIVATE_KEY": "-----BEGIN-----\nMIIEvQIBADANBg\n-----END-----\n"})

    assert redactor.text("near MIIEvQIBADANBg.") == f"near {MASK}."


def test_every_text_of_a_json_value_is_masked() -> None:
    redactor = Redactor({"A_TOKEN": 'quo"ted\\secret'})

    value = redactor.json({"a": ['see quo"ted\\secret', 1, None], 'quo"ted\\secret': True})

    assert value == {"a": [f"see {MASK}", 1, None], MASK: True}


def test_a_log_record_is_masked_with_its_traceback() -> None:
    formatter = RedactingFormatter(logging.Formatter("%(message)s"), Redactor({"A_TOKEN": "sk-12345678"}))
    try:
        raise ValueError("bad key sk-12345678")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed for %s", ("sk-12345678",), sys.exc_info())

    text = formatter.format(record)

    assert "sk-12345678" not in text
    assert f"ValueError: bad key {MASK}" in text


@given(st.lists(st.sampled_from(["abcdefgh", "abcdefghij", "ghijklmnop", "ab", "x", "abcdefg"])), st.integers(1, 30))
def test_a_text_that_is_shown_piece_by_piece_is_masked_as_a_whole(words: list[str], size: int) -> None:
    redactor = Redactor({"A_KEY": "abcdefgh", "B_KEY": "abcdefghij", "C_KEY": "ghijklmnop"})
    text = "".join(words)

    shown, held = "", ""
    for start in range(0, len(text), size):
        held += text[start : start + size]
        cut = redactor.safe_cut(held)
        shown, held = shown + redactor.text(held[:cut]), held[cut:]

    assert shown + redactor.text(held) == redactor.text(text)


def test_the_cut_of_a_long_line_never_shows_a_secret_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_output, "_LONGEST_LINE", 16)
    redactor = Redactor({"A_KEY": "sk-12345678"})
    lines: list[str] = []

    output = EngineOutput(lambda line: lines.append(redactor.text(line)), redactor.safe_cut)
    os.write(output.fd, b"said: \n" + b"".join(b"." * n + b"sk-12345678" for n in range(20)) + b"\nlast")
    output.finish()

    assert lines[0] == "said: "
    assert lines[-1] == "last"
    assert "".join(lines[1:-1]) == "".join("." * n + MASK for n in range(20))


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("database_url", "postgresql://ada:p4ss@db/runs", f"postgresql://ada:{MASK}@db/runs"),
        ("database_url", "postgresql://ada:p@/:ss@db/runs", f"postgresql://ada:{MASK}@db/runs"),
        ("database_url", "postgresql://ada@db/runs?sslmode=on&password=x", None),
        ("database_url", "postgresql://ada@db/runs", "postgresql://ada@db/runs"),
        ("database_url", "postgresql://ada:${PASSWORD}@db/runs", "postgresql://ada:${PASSWORD}@db/runs"),
        ("artifact_store", "https://token@store/x", f"https://{MASK}@store/x"),
        ("api_key", "sk-1", MASK),
        ("api_key", "${TEMPORAL_API_KEY}", "${TEMPORAL_API_KEY}"),
        ("client_key_file", "/etc/key.pem", "/etc/key.pem"),
        ("max_in_flight", 3, 3),
        ("folders", ["ftp://a:b@c"], [f"ftp://a:{MASK}@c"]),
    ],
)
def test_a_setting_is_shown_without_what_is_secret_in_it(name: str, value: object, shown: object) -> None:
    expected = f"postgresql://ada@db/runs?sslmode=on&password={MASK}" if shown is None else shown

    assert masked_setting(name, value) == expected
