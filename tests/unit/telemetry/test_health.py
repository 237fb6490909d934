"""What is wrong, since when, and what it means."""

import asyncio
from datetime import UTC, datetime

from app.telemetry.health import Health, Trouble


class Check:
    """Passes unless it is `down`."""

    down = False

    async def __call__(self) -> None:
        if self.down:
            raise OSError("connection to secret-host refused")


async def test_what_is_not_ready_says_why():
    health = Health()
    (starting,), _ = await health.troubles()
    health.state = "draining"
    (draining,), _ = await health.troubles()

    assert (starting.what, draining.what) == ("starting", "draining")
    assert starting.means
    assert draining.means


async def test_a_failing_check_says_since_when_and_what_it_means():
    """In the words of the service, not of what failed: anybody may ask."""
    health, check = Health(), Check()
    health.state = "ready"
    health.register("quota", check, "Each for itself.", essential=False)
    assert await health.troubles() == ([], [])

    check.down = True
    before = datetime.now(UTC)
    (first,), _ = await health.troubles()
    (again,), _ = await health.troubles()
    unready = await health.unready()
    check.down = False
    well = await health.troubles()
    check.down = True
    (anew,), _ = await health.troubles()

    assert (first.what, first.means) == ("quota", "Each for itself.")
    assert first.since is not None
    assert first.since >= before
    assert again == first
    assert unready == []
    assert well == ([], [])
    assert anew.since is not None
    assert anew.since > first.since


async def test_who_asks_meanwhile_waits_for_the_check_under_way():
    """Or one that began earlier and took longer would have the last word."""
    health, may_end, checks = Health(), asyncio.Event(), 0
    health.state = "ready"

    async def check() -> None:
        nonlocal checks
        checks += 1
        await may_end.wait()

    health.register("quota", check, "Each for itself.")
    both = [asyncio.create_task(health.check()) for _ in range(2)]
    await asyncio.sleep(0)
    may_end.set()

    assert [dict(await each) for each in both] == [{"quota": True}] * 2
    assert checks == 1


async def test_others_may_have_something_to_tell():
    health = Health()
    health.state = "ready"
    trouble = Trouble("azure_openai/west", "It is left alone.")
    health.watch(lambda: [trouble])

    assert await health.troubles() == ([], [trouble])
