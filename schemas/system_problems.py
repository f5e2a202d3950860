"""The problems behind failures of the operating system."""

import errno
from collections.abc import Iterator

from schemas.problem import Problem, problem

_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ELOOP}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_SPENT = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}


def system_problem(error: BaseException) -> Problem | None:
    """The problem behind an `OSError` that only this machine's administrator can solve; None for any other failure.

    Its causes count too. The path is left out: callers must not see paths of this machine.
    """
    for cause in causes_of(error):
        if isinstance(cause, OSError) and cause.errno is not None:
            if cause.errno in _DENIED:
                return _misconfigured(cause)
            if cause.errno in _FULL:
                return _unavailable("There is no room left on the disk.", "Make room, then try again.")
            if cause.errno in _SPENT:
                return _unavailable(
                    f"The machine gave no more: {_reason(cause)}.", "Try again when the machine has less to do."
                )
    return None


def _misconfigured(error: OSError) -> Problem:
    return problem(
        "runtime.misconfigured",
        f"A file or folder that the runtime needs cannot be used: {_reason(error)}.",
        next_step=(
            "fix_configuration",
            "Let this user read and write it, or set PIPELEX_HOME, XDG_STATE_HOME or TMPDIR to a folder of its"
            " own; the server's stderr names it, and `mthds-rpc doctor` looks too.",
        ),
        params={"component": "files"},
    )


def _unavailable(detail: str, step: str) -> Problem:
    return problem(
        "runtime.unavailable",
        detail,
        next_step=("retry", step),
        domain="operator",
        params={"dependency": "machine"},
    )


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was raised from or amid, the latest first."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
