"""`rpc_dbos.toml`, checked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli

from orchestrators import dbos
from orchestrators.dbos.database import Database
from orchestrators.dbos.settings import DbosSettings, resolved_url, sqlite_file
from orchestrators.plugins.contract import SettingFault
from schemas.problem import ProblemError

SHIPPED = tomli.loads(Path(dbos.__file__).with_name("rpc_dbos.toml").read_text(encoding="utf-8"))


def settings(**changed: Any) -> Mapping[str, Any]:
    return {**SHIPPED, **changed}


def test_the_shipped_settings_are_good() -> None:
    shipped = DbosSettings.of(SHIPPED)

    assert shipped.keep_s == 30 * 86_400
    assert sqlite_file(shipped, Path("/state"), {}) == Path("/state/dbos/runs.sqlite3")


def test_zero_keeps_runs_for_ever() -> None:
    unlimited = DbosSettings.of(settings(retention={"max_age_days": 0, "max_runs": 0}))

    assert unlimited.keep_s is None
    assert unlimited.keep_runs is None


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"workers": 0}, ("workers",)),
        ({"concurrency": -1}, ("concurrency",)),
        ({"poll_s": float("nan")}, ("poll_s",)),
        ({"drain_s": -0.1}, ("drain_s",)),
        ({"retention": {"max_age_days": -1.0, "max_runs": 1}}, ("retention", "max_age_days")),
        ({"database_url": "mysql://somewhere"}, ("database_url",)),
        ({"database_url": "sqlite:///relative.sqlite3"}, ("database_url",)),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_key(changed: dict[str, Any], key: tuple[str, ...]) -> None:
    with pytest.raises(SettingFault) as refused:
        DbosSettings.of(settings(**changed))

    assert refused.value.key == key


def test_variables_are_put_into_the_url() -> None:
    given = DbosSettings.of(settings(database_url="postgresql://me:${PASSWORD}@host/name"))

    assert resolved_url(given, Path("/state"), {"PASSWORD": "p@ss/word"}) == "postgresql://me:p%40ss%2Fword@host/name"
    assert sqlite_file(given, Path("/state"), {"PASSWORD": "secret"}) is None


def test_a_variable_may_hold_the_whole_url() -> None:
    given = DbosSettings.of(settings(database_url="${DATABASE_URL}"))

    assert resolved_url(given, Path("/state"), {"DATABASE_URL": "postgresql://host/n"}) == "postgresql://host/n"


def test_a_variable_that_is_not_set_is_named() -> None:
    given = DbosSettings.of(settings(database_url="postgresql://me:${PASSWORD}@host/name"))

    with pytest.raises(SettingFault, match="PASSWORD"):
        resolved_url(given, Path("/state"), {})


def test_an_address_that_cannot_be_read_is_refused_without_its_password() -> None:
    with pytest.raises(ProblemError) as refused:
        Database.open("postgresql://me:p4ss@w0rd@host:p4ssw0rd/name")

    assert refused.value.problem.code == "runtime.misconfigured"
    assert "w0rd" not in str(refused.value.problem.to_wire())
    assert refused.value.__cause__ is None
