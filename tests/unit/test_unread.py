"""Finding the values that Pipelex's reader of bundles breaks on."""

import pytest

from orchestrators.engine.validation.unread import unread_values
from tests.support.bundles import GREETING, SEQUENCE
from tests.support.corpus import corpus

CONCEPT = f'{GREETING}\n[concept.C]\ndescription = "\\u007f \\" \\\\ é"\nhints = {{ since = 1979-05-27T07:32:00Z }}\n'


@pytest.mark.parametrize(
    ("bundle", "paths"),
    [
        (GREETING, []),
        (SEQUENCE, []),
        ("", []),
        (CONCEPT, []),
        (f"{CONCEPT}refines = nan\n", [("concept", "C", "refines")]),
        (f"{CONCEPT}refines = [5, 6]\n", [("concept", "C", "refines")]),
        (f"concept = inf\n{GREETING}", [("concept",)]),
        (f"concept = 07:32:00\n{GREETING}", [("concept",)]),
        (f"x = {'[' * 300}{']' * 300}\n{GREETING}", []),
        (
            f"{CONCEPT}refines = 1\n[concept.D]\ndescription = 'x'\n[concept.E]\ndescription = 'x'\nrefines = -inf\n",
            [("concept", "C", "refines"), ("concept", "E", "refines")],
        ),
    ],
)
def test_each_is_found_where_it_stands(bundle: str, paths: list[tuple[str | int, ...]]) -> None:
    assert list(unread_values(bundle)) == paths


def test_in_a_valid_method_there_is_none() -> None:
    texts = [method.text(path) for method in corpus("valid") for path in method.files if path.endswith(".mthds")]

    assert [list(unread_values(text)) for text in texts] == [[] for _ in texts]


def test_where_there_is_no_time_to_look_the_whole_file_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrators.engine.validation.unread._MAX_S", -1.0)

    assert list(unread_values(f"concept = 5\n{GREETING}")) == [()]
