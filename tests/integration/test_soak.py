"""The short version of `make soak`: all at once, while all that it needs dies and returns."""

import pytest

from tests.soak.run import Plan, soak

SECONDS = 150
"""Of each form: five minutes together."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
async def test_nothing_is_lost_whatever_dies(tmp_path, several):
    plan = Plan(SECONDS, several, seed=5, every_s=10)
    found = await soak(plan, tmp_path)

    assert found.complaints == []
    assert found.figures.batches >= 5
    assert found.besides["reviews"] >= 25
    assert found.besides["exports"] >= 25
    killed = {each.split()[0] for each in found.besides["outages, by kind"] if "SIGKILL" in each}
    assert "azure" in killed
    assert killed & {"serve-0", "serve-1", "worker-3"}
    assert any(each.startswith("receiver") for each in found.besides["outages, by kind"])
    if several:
        assert {"redis", "postgres"} <= killed
