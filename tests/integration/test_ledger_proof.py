"""The short version of `make ledger-test`: real processes, and what they were billed."""

from tests import ledger_proof

QUICK = [each for each in ledger_proof.TOLD if each["kind"] != "capacity_429"]
"""Without those after which it is waited for ten seconds."""


async def test_what_usage_told_is_booked_exactly(tmp_path):
    """Though calls fail, and a deployment is down for a while."""
    found = await ledger_proof.told(tmp_path, 300, QUICK)

    assert found["complaints"] == []
    assert found["turned_away"] > 0
    assert {"asked", "kept", "shared", "duplicate"} >= found["kinds"].keys()
    assert found["kinds"]["shared"] > 0


async def test_what_nobody_told_is_booked_as_well(tmp_path):
    """Of so few calls those that a kill ends are a larger share than of many."""
    found = await ledger_proof.untold(tmp_path, 200, 1, at_most_above=0.1)

    assert found["complaints"] == []
    assert found["estimated"] > 0
