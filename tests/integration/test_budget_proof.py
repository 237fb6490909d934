"""16 callers, and a budget for fewer calls than they want: in one process, and in four."""

from decimal import Decimal

import pytest

from tests.budget_proof import SERVICES, prove


@pytest.mark.parametrize("several", [False, True], ids=["one", "four"])
async def test_nothing_is_overspent(several):
    """Calls are ten times as dear as they are, so that it does not take long."""
    outcome = await prove(Decimal(1), several=several, dearer=10)

    assert outcome.complaints(SERVICES if several else 1) == []
    assert outcome.answered > 150
