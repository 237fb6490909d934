"""The short version of `make soak`: all at once, while all that it needs dies and returns."""

import pytest

from tests.soak.run import Plan, soak

SECONDS = 150
"""Of each form: five minutes together."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
async def test_nothing_is_lost_whatever_dies(tmp_path, several):
    """It is too short to say whether memory grows, and of few calls those that a death ends are a
    larger share than of many."""
    plan = Plan(SECONDS, several, seed=8, every_s=10, lasts=False, at_most_above=0.03)
    found = await soak(plan, tmp_path)

    assert found["complaints"] == []
    assert found["batches"] >= 5
    assert found["reviews"] >= 25
    assert found["exports"] >= 25
    assert any("SIGKILL" in each for each in found["outages"])
