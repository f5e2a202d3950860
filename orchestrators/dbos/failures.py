"""The problems behind failures of the database. The driver's own messages are only logged."""

import logging
from pathlib import Path

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

from schemas.problem import ProblemError, problem_error

logger = logging.getLogger(__name__)

OUR_FAULTS = (DataError, IntegrityError, ProgrammingError)
"""Errors of one statement or row, not of the database."""
_NOT_THERE = ("no such table", "no such column", "has no column named")
# Postgres: an undefined table, an undefined column, an invalid schema name.
_NOT_THERE_STATES = {"42P01", "42703", "3F000"}


class LedgerUnusable(ProblemError):
    """The open database cannot be used any more by this process, however long it waits."""


def database_failure(error: Exception) -> Exception:
    """The problem to raise for `error`; `error` itself where it is a bug in mthds-rpc."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = str(cause).lower()
    if any(words in text for words in _NOT_THERE) or getattr(cause, "sqlstate", None) in _NOT_THERE_STATES:
        logger.error("the tables of runs are not complete: %s", " ".join(str(cause).split()))
        return broken(
            "The database of runs lacks a table or a column that this release needs.",
            "Put a good copy in its place, or move it away.",
        )
    if isinstance(error, OUR_FAULTS) and "permission denied" not in text:
        return error
    logger.warning("the database of runs failed: %s", " ".join(str(cause).split()))
    if "locked" in text or "busy" in text:
        return unavailable("The database of runs is held by another process.", "Try again.")
    if "is full" in text or "no space left" in text or "could not extend" in text:
        return unavailable("There is no room left where runs are kept.", "Make room on the disk, then try again.")
    if "not a database" in text or "malformed" in text or "corrupt" in text:
        return broken("The database of runs is damaged.", "Move its file away, or put a good copy in its place.")
    if isinstance(error, OSError) or any(words in text for words in ("unable to open", "readonly", "permission")):
        return broken("The database of runs cannot be opened.", "Give this user the right to write it.")
    return unavailable("The database of runs cannot be reached.", "See that it runs, then try again.")


def made_by_newer(release: str) -> LedgerUnusable:
    """The refusal of a ledger that a later release changed so that this one cannot use it."""
    error = problem_error(
        "runtime.misconfigured",
        f"The database of runs was made by release {release} of mthds-rpc, and this release cannot use it.",
        next_step=("upgrade", f"Install mthds-rpc {release} or later, or name another `database_url`."),
        params={"component": "orchestrator", "release": release},
    )
    return LedgerUnusable(error.problem)


def incomplete(release: str) -> ProblemError:
    """The refusal of a ledger that lacks a table or a column of the release that made it."""
    return broken(
        f"The database of runs, made by release {release} of mthds-rpc, lacks a table or a column.",
        "Put a good copy in its place, or move it away.",
    )


def moved_away(file: Path) -> ProblemError:
    """The refusal while the open file, or a part of it, is not at its path."""
    logger.error("the file of runs was moved or replaced while it was in use: %s", file)
    return unavailable(
        "The file of runs was moved or replaced while it was in use.",
        "Put it back as it was; or, to continue without it, move its -wal and -shm files away too.",
    )


def replaced() -> LedgerUnusable:
    """The error that ends a worker whose file was replaced."""
    error = unavailable("The file of runs was replaced by another one.", "A worker that starts now uses that one.")
    return LedgerUnusable(error.problem)


def unavailable(detail: str, step: str) -> ProblemError:
    """`runtime.unavailable`: the same call may work later."""
    return problem_error(
        "runtime.unavailable",
        detail,
        domain="operator",
        next_step=("retry", f"{step} The server's stderr holds the reason."),
        params={"dependency": "orchestrator"},
    )


def broken(detail: str, step: str) -> ProblemError:
    """`runtime.misconfigured`: a person has to fix something first."""
    return problem_error(
        "runtime.misconfigured",
        detail,
        next_step=("fix_configuration", f"{step} The server's stderr holds the reason."),
        params={"component": "orchestrator"},
    )
