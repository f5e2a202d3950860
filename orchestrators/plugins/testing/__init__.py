"""Proves an orchestrator: tests that the author of a plugin runs with pytest, which has to be installed."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.ledger_contract")

from orchestrators.plugins.testing.ledger_contract import Ability, LedgerContract  # noqa: E402
from orchestrators.plugins.testing.subject import Subject, open_mode  # noqa: E402

__all__ = ["Ability", "LedgerContract", "Subject", "open_mode"]
