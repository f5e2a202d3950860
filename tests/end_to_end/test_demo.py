"""The shipped examples, as README and `make demo` run them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pipelex_tools
import pytest

from tests.support.cli import run_cli
from tests.support.client import RpcClient
from tests.support.mthds_server import serve

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.parent.name for path in ROOT.glob("examples/*/*.mthds"))

RELEASE_CHANGELOG = """\
## 4.2.0

### Added

- Berths can be reserved for a season (#812, Ines)
- Invoices are numbered per harbour (#819, Ines)

### Fixed

- The tide table no longer skips the hour of the clock change (#815, Tom)
"""
SUPPORT_DIGEST = """\
# Support, 2026-11-24

## On call

- HD-2071 Nobody can sign in since 07:40 (Ostra Logistics, waiting 1.5 h)

## Today

- HD-2049 Wrong currency on the invoice of October (Kiosk Nine, waiting 41.0 h)
- HD-2064 The monthly export misses two columns (Veldt Insurance, waiting 9.0 h)

## Backlog

- HD-2070 Could the calendar start on Sunday? (Studio Brandt, waiting 3.0 h)
"""
PDF_DIGEST = """\
3 pages
1. Rental agreement, berth 14 (41 words)
2. Price and payment (48 words)
3. End of the agreement (34 words)"""
STATEMENT_SUMMARY = """\
In: 12800.00. Out: 5774.40.
- Nordwind Hosting GmbH: 5432.40
- Brasserie Kessler: 342.00"""


def source(example: str) -> str:
    return (ROOT / "examples" / example / f"{example}.mthds").read_text(encoding="utf-8")


def run_of(example: str) -> dict[str, Any]:
    inputs = json.loads((ROOT / "examples" / example / "inputs.json").read_text(encoding="utf-8"))
    return {"method": f"examples/{example}", "inputs": inputs}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RpcClient]:
    with serve(tmp_path_factory.mktemp("home"), "--allow-python", workspace=ROOT) as client:
        yield client


def test_the_demo_shows_each_pipe_and_prints_what_becomes_of_every_invoice(tmp_path: Path) -> None:
    example = "examples/invoice_triage"

    done = run_cli(
        tmp_path,
        *("call", "execute", "--method", example, "--inputs", f"{example}/inputs.json", "--progress", "--output"),
        cwd=ROOT,
    )

    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert (report["payable_now"], report["held"]) == (850.2, 2)
    assert report["payment_file"].splitlines() == [
        "iban,amount,reference,date",
        "FR7630006000011234567890189,342.00,BK-2026-1184,2026-12-10",
        "ES9121000418450200051332,508.20,IT-26-3390,2026-12-15",
    ]
    progress = done.stderr.splitlines()
    assert sum(line.endswith("invoice_triage.decide_invoice started") for line in progress) == 5
    assert progress[-1] == "[26/26] the run ended: completed"


def test_release_notes_hold_changelog_announcement_and_upgrade_guide(server: RpcClient) -> None:
    kit = server.result("execute", run_of("release_notes"))["output"]

    assert {name: text["text"] for name, text in kit.items()} == {
        "changelog": RELEASE_CHANGELOG,
        "announcement": "Harbour 4.2.0 is out: 4 changes, 2 of them new features. Thanks to Aiko, Ines, Tom.",
        "upgrade": "Before you upgrade to 4.2.0:\n\n"
        "1. Run `harbour renumber` once, before the first invoice of the month. (#819)",
    }


def test_release_notes_without_a_migration_say_that_nothing_breaks(server: RpcClient) -> None:
    run = run_of("release_notes")
    for change in run["inputs"]["release"]["changes"]:
        change.pop("migration", None)

    kit = server.result("execute", run)["output"]

    assert kit["upgrade"]["text"] == "4.2.0 breaks nothing: upgrade as it is."


@pytest.mark.parametrize(
    ("example", "text"),
    [("support_digest", SUPPORT_DIGEST), ("pdf_digest", PDF_DIGEST), ("bank_statement", STATEMENT_SUMMARY)],
)
def test_an_example_gives_its_text(server: RpcClient, example: str, text: str) -> None:
    assert server.result("execute", run_of(example))["output"] == {"text": text}


def test_the_example_with_a_model_runs_dry_without_a_key(server: RpcClient) -> None:
    result = server.result("execute", run_of("reply_draft") | {"run_mode": "dry"})

    assert result["output"]["text"].startswith("DRY RUN")


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_written_as_the_standard_formats_it(example: str) -> None:
    assert pipelex_tools.lint_mthds(source(example)) == {"diagnostics": []}
    assert pipelex_tools.format_mthds(source(example))["formatted"] == source(example)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_says_how_to_run_it(example: str) -> None:
    path = f"examples/{example}"

    assert f"mthds-rpc call execute --method {path} --inputs {path}/inputs.json" in source(example)
