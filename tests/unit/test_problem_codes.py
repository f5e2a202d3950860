"""One code, one title, wherever a problem is made."""

import ast
from collections.abc import Iterator
from pathlib import Path

from mthds.protocol.problem.registry import CORE_CODE_SPECS
from pipelex.errors.error_codes import error_code_spec, parse_error_code

from schemas.problem_codes import TITLES, title_of

ROOT = Path(__file__).parents[2]
BUILDERS = {"problem", "problem_error", "Problem", "_error", "_refused", "_left_out"}


def built_problems() -> Iterator[tuple[str, ast.Call]]:
    """Each call that makes a problem, and where it stands."""
    for package in ("rpc_server", "orchestrators", "schemas"):
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BUILDERS:
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", node


def test_every_code_of_the_protocol_has_the_title_of_its_registry() -> None:
    ours = {code: title for code, title in TITLES.items() if not code.startswith("pipelex.")}

    assert ours == {str(code): spec.title for code, spec in CORE_CODE_SPECS.items()}


def test_every_code_of_pipelex_has_the_title_that_pipelex_gives_it() -> None:
    theirs = {code: title for code, title in TITLES.items() if code.startswith("pipelex.")}

    assert theirs == {code: error_code_spec(parse_error_code(code)).title for code in theirs}
    assert theirs


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
    assert codes - set(TITLES) == set()


def test_a_code_that_is_not_known_is_its_own_title() -> None:
    assert title_of("acme.quota") == "acme.quota"
