"""Calls that may go to some deployments of a pool only, for an answer of the same model is wanted:
they have all their time, and keep nobody from where they can't go themselves."""

import asyncio
from collections import Counter

import pytest

from app.errors import ProviderRateLimited
from tests.fakes import answer
from tests.unit.traffic.line import call, deployment, scheduler, waiter
from tests.virtual_time import now

pytestmark = pytest.mark.virtual_time


def spend(one, calls: int = 100) -> None:
    """All that a window of ten seconds holds."""
    for _ in range(calls):
        one.quota.reserve(now(), {"requests": 1.0, "tokens": 100.0})


def begin(line, *wanted):
    return [asyncio.create_task(call(line, each)) for each in wanted]


@pytest.mark.parametrize("remote", [False, True])
async def test_others_go_elsewhere_while_it_waits(remote):
    """For ten seconds, until the quota of the only one that will do is there again."""
    full, free = deployment("a", remote=remote), deployment("b", remote=remote)
    line, began = scheduler(full, free), now()
    spend(full)
    (pinned,) = begin(line, waiter(full))
    await asyncio.sleep(0.1)
    others = begin(line, *(waiter(full, free) for _ in range(20)))

    assert max(await asyncio.gather(*others)) - began < 3
    assert await pinned - began == pytest.approx(10, abs=0.2)


async def test_what_it_waits_for_is_held_for_it():
    """Those behind it, who have no room elsewhere either, do not take it away."""
    one, other = deployment("a"), deployment("b")
    line = scheduler(one, other)
    spend(one)
    spend(other)
    (pinned,) = begin(line, waiter(one, caller="b"))
    await asyncio.sleep(0.1)
    await asyncio.gather(*begin(line, *(waiter(one, other) for _ in range(50))))

    assert pinned.done()


async def test_one_that_takes_more_than_is_free_is_waited_for():
    """Small ones go elsewhere, and not before it for ever."""
    one, other = deployment("a", tpm=60_000), deployment("b", tpm=60_000)
    line, began = scheduler(one, other), now()
    for _ in range(30):
        one.quota.reserve(now(), {"requests": 1.0, "tokens": 1_000.0})
    (large,) = begin(line, waiter(one, tokens=50_000.0, patience_s=100))
    small = []
    for _ in range(700):
        await asyncio.sleep(0.1)
        small += begin(line, waiter(one, other, tokens=50.0))
    await asyncio.gather(*small)

    assert await large - began < 62


async def test_callers_get_equal_shares_though_some_of_their_calls_are_pinned():
    """Of both deployments, in ten seconds; one caller wants one of them alone half of the time."""
    one, other = deployment("a"), deployment("b")
    line = scheduler(one, other)
    served: Counter[str] = Counter()

    async def go(caller: str, *ways) -> None:
        ticket = await line.admit(waiter(*ways, caller=caller, patience_s=1e6))
        if now() < until:
            served[caller] += 1
        await asyncio.sleep(0)
        ticket.deployment.ended(now(), ticket, 0.1, answer())
        line.changed()

    until = now() + 20
    tasks = [
        asyncio.create_task(go(caller, *ways))
        for number in range(400)
        for caller, ways in (
            ("pins", (one,) if number % 2 else (one, other)),
            ("does-not", (one, other)),
        )
    ]
    await asyncio.sleep(20)
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert sum(served.values()) > 380
    assert served["pins"] == pytest.approx(served["does-not"], abs=12)


async def test_it_is_not_hopeless_for_what_may_go_elsewhere():
    """A hundred wait before it, of which the larger part goes elsewhere."""
    small, large = deployment("a"), deployment("b")
    for window in large.quota.windows.values():
        window.belief.granted = 6_000.0
    line = scheduler(small, large)
    spend(small)
    others = begin(line, *(waiter(small, large, patience_s=100) for _ in range(150)))
    await asyncio.sleep(0)
    (pinned,) = begin(line, waiter(small, patience_s=14))

    await asyncio.gather(pinned, *others)


async def test_it_is_hopeless_at_once_behind_too_many_that_want_the_same():
    one, other = deployment("a"), deployment("b")
    line, began = scheduler(one, other), now()
    begin(line, *(waiter(one, patience_s=1e6) for _ in range(400)))
    await asyncio.sleep(0.1)

    with pytest.raises(ProviderRateLimited):
        await line.admit(waiter(one))
    assert now() - began < 1
    assert await call(line, waiter(one, other)) - began < 1


async def test_its_time_is_its_own():
    """It is refused when that is over, and not before."""
    one, other = deployment("a", max_in_flight=1), deployment("b")
    line, began = scheduler(one, other), now()
    await line.admit(waiter(one))
    (pinned,) = begin(line, waiter(one, patience_s=25))
    with pytest.raises(ProviderRateLimited):
        await pinned

    assert now() - began == pytest.approx(25, abs=0.1)
