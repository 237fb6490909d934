"""The webhooks benchmark in short form. The bounds are for a machine under other load."""

from app.storage import Database
from benchmarks import instant
from benchmarks.webhooks import throughput
from benchmarks.webhooks_pick import measure


async def test_events_are_delivered_as_fast_as_they_come(tmp_path):
    """From a real server to receivers that verify signatures, each event once."""
    instant.install(tmp_path)

    found = await throughput(20, 50, 0.005, tmp_path)

    assert found["per_second"] >= 100
    assert found["deliveries"] == 1_000
    assert found["twice"] == 0
    assert found["wrong_signatures"] == 0


async def test_what_waits_for_one_webhook_does_not_slow_down_another(tmp_path):
    """Even if much waits, and whether it is due or not."""
    found = await measure(Database(f"sqlite:///{tmp_path}/app.db"), 20_000)

    for figures in (found["analyzed"], found["not_analyzed"]):
        assert {name for name, each in figures.items() if each["p50_ms"] > 5} == set()
