"""The problems of engines that could not do their work."""

from schemas.problem import ProblemError, problem_error


def boot_failed(detail: str) -> ProblemError:
    """No engine came up."""
    return problem_error(
        "runtime.unavailable",
        detail,
        domain="operator",
        next_step=("retry", "Try again; if it stays so, `mthds-rpc doctor` says what is wrong with this machine."),
    )


def engine_lost(reason: str) -> ProblemError:
    """An engine ended, and so did the next one, before they had answered. Nothing was run."""
    return problem_error(
        "runtime.unavailable",
        f"The engine that was asked ended before it answered ({reason}).",
        next_step=("retry", "Ask again; if it stays so, see what the server's stderr says of the engine."),
    )


def no_answer_in_time(limit_s: float) -> ProblemError:
    """An engine took longer to load or to validate a method than it may."""
    return problem_error(
        "runtime.unavailable",
        f"No engine had answered after {limit_s:g} seconds: the method takes too long to load or to validate, or this"
        " machine is too busy.",
        next_step=(
            "change_method",
            "Make the method smaller, or raise `verdict_timeout_s` under [engine] in rpc_override.toml.",
        ),
        params={"limit_seconds": limit_s},
    )


def python_refused(file: str) -> ProblemError:
    """The method holds Python, which may not run here."""
    return problem_error(
        "pipelex.deployment.custom_code_requires_sandbox",
        f"The method holds Python, in {file!r}, which would run on this machine with your rights.",
        next_step=(
            "fix_configuration",
            "If you trust the method, start the server with --allow-python, or set `allow_python` under [engine] in"
            " rpc_override.toml.",
        ),
    )
