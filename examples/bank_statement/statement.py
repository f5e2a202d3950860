"""The Python of the bank statement method: a CSV export in, its totals out."""

import csv
import io
from collections import defaultdict

from pipelex.core.memory.working_memory import WorkingMemory
from pipelex.core.stuffs.structured_content import StructuredContent
from pipelex.system.registries.func_registry import pipe_func


class StatementTotals(StructuredContent):
    """What went in and out of an account: two sums in euros, and one line per counterparty that was paid."""

    received: float
    spent: float
    counterparties: list[str]


@pipe_func()
def total_statement(working_memory: WorkingMemory) -> StatementTotals:
    """Add up the lines of the export, the largest payee first."""
    rows = list(csv.DictReader(io.StringIO(working_memory.get_stuff_as_str("statement"))))
    amounts = [float(row["amount"]) for row in rows]
    paid: dict[str, float] = defaultdict(float)
    for row, amount in zip(rows, amounts, strict=True):
        if amount < 0:
            paid[row["counterparty"]] -= amount
    ranked = sorted(paid.items(), key=lambda item: item[1], reverse=True)
    return StatementTotals(
        received=sum(amount for amount in amounts if amount > 0),
        spent=sum(paid.values()),
        counterparties=[f"{name}: {total:.2f}" for name, total in ranked],
    )
