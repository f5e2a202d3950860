import logging
import sys

import pytest

from rpc_server.redaction import MASK, RedactingFormatter, Redactor


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
