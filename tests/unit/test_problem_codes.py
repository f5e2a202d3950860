"""One code, one title, one domain, one retry, wherever a problem is made."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mthds.protocol.problem.registry import CORE_CODE_SPECS
from pipelex.errors.error_codes import error_code_spec, parse_error_code

from schemas.problem_codes import CODES, problem_code

ROOT = Path(__file__).parents[2]
BUILDERS = {"problem", "problem_error", "Problem", "rpc_error", "_refused", "_left_out"}


def built_problems() -> Iterator[tuple[str, ast.Call]]:
    """Each call that makes a problem, and where it stands."""
    for package in ("rpc_server", "orchestrators", "schemas"):
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BUILDERS:
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", node


def row(spec: Any) -> tuple[str, str, str]:
    return spec.title, str(spec.domain), str(spec.retry)


def test_every_code_of_the_protocol_is_as_in_its_registry() -> None:
    ours = {code: tuple(known) for code, known in CODES.items() if not code.startswith("pipelex.")}

    assert ours == {str(code): row(spec) for code, spec in CORE_CODE_SPECS.items()}


def test_every_code_of_pipelex_is_as_pipelex_has_it() -> None:
    ours = {code: tuple(known) for code, known in CODES.items() if code.startswith("pipelex.")}

    assert ours == {code: row(error_code_spec(parse_error_code(code))) for code in ours} != {}


def test_no_problem_repeats_what_its_code_says_already() -> None:
    repeated = [
        (place, keyword.arg)
        for place, call in built_problems()
        for code in (arg.value for arg in call.args if isinstance(arg, ast.Constant) and arg.value in CODES)
        for keyword in call.keywords
        if keyword.arg in ("domain", "retry")
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value == getattr(CODES[code], keyword.arg)
    ]

    assert repeated == []


def test_no_problem_is_made_with_a_title_of_its_own() -> None:
    titled = [place for place, call in built_problems() for keyword in call.keywords if keyword.arg == "title"]

    assert [place.partition(":")[0] for place in titled] == ["schemas/problem.py"]


def test_every_code_that_is_written_out_has_a_title() -> None:
    codes = {
        node.value
        for _, call in built_problems()
        for node in [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "code")]
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and " " not in node.value
        and "." in node.value
    }

    assert len(codes) > 25
    assert codes - set(CODES) == set()


def test_a_code_that_is_not_known_is_its_own_title() -> None:
    assert problem_code("acme.quota").title == "acme.quota"
