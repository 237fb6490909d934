"""More is wanted than there is, or something else goes wrong: nobody is forgotten, and what there
is gets spent. In virtual time, with a quota of 600 calls a minute."""

import asyncio
from collections import Counter

import pytest
from PIL import Image

from app.budget import Payer
from app.domains import Domain
from app.errors import (
    ClassifierError,
    Overloaded,
    ProviderDenied,
    ProviderRateLimited,
    ProviderUnavailable,
)
from app.images import prepare
from app.traffic import Case, Dispatcher
from app.usage import QuotaReport
from tests.fakes import FakeProvider, after, answer
from tests.pictures import encoded
from tests.unit.traffic.line import ROUND_TRIP_S, call, deployment, scheduler, waiter
from tests.virtual_time import now

pytestmark = pytest.mark.virtual_time

IMAGE = prepare(encoded(Image.new("RGB", (8, 8))), longest=8)
DOMAIN = Domain(name="flowers", classes=("rose", "daisy"))


async def ask(dispatcher: Dispatcher, *, caller: str = "test") -> None:
    await dispatcher.ask(["azure"], Case(IMAGE, DOMAIN, Payer(caller)))


async def test_twice_the_load_leaves_all_of_the_quota_spent_on_answers(dispatcher):
    """Nobody is given leave when there is no time left to use it, and who runs out of time does
    not speak against the deployment."""
    provider = FakeProvider("azure", *[after(1.0, answer())] * 10_000, metered=True)
    asked, outcomes = dispatcher(provider, limits=[("fake-deployment", {"rpm": 600})]), []

    async def one(number: int) -> None:
        try:
            await ask(asked, caller=f"caller-{number % 5}")
        except ClassifierError as error:
            outcomes.append((now(), type(error)))
        else:
            outcomes.append((now(), None))

    tasks = []
    for number in range(20 * 120):
        tasks.append(asyncio.create_task(one(number)))
        await asyncio.sleep(0.05)
    await asyncio.gather(*tasks)

    answered = Counter(int((at - 1000) // 30) for at, error in outcomes if error is None)
    assert all(answered[quarter] >= 285 for quarter in (1, 2, 3))
    assert {error for _, error in outcomes} == {None, ProviderRateLimited}


async def test_what_waits_no_longer_holds_up_nobody():
    """A large call is cancelled: the next small one is not told to wait for what that needed."""
    one = deployment("a", tpm=60_000)
    line = scheduler(one)
    for _ in range(30):
        await call(line, waiter(one, tokens=1_000))
        await asyncio.sleep(1)
    large = asyncio.create_task(line.admit(waiter(one, tokens=50_000, patience_s=100)))
    await asyncio.sleep(0.01)
    large.cancel()
    await asyncio.sleep(0.01)
    began = now()

    assert await call(line, waiter(one, tokens=1_000)) - began < 2


async def test_a_call_that_ends_while_redis_is_asked_is_noticed():
    """The only place is given up during the round trip about another one, which is paused."""
    full, paused = deployment("a", remote=True, max_in_flight=1), deployment("b", remote=True)
    paused.quota.paused_until = now() + 25
    line = scheduler(full, paused)
    first = await line.admit(waiter(full, paused))
    began = now()
    second = asyncio.create_task(call(line, waiter(full, paused)))
    await asyncio.sleep(ROUND_TRIP_S / 2)
    full.ended(now(), first, 1.0, answer())
    line.changed()

    assert await second - began < 0.01


async def test_an_error_that_nobody_expected_hits_one_only():
    odd = deployment("a", remote=True)
    line = scheduler(odd)
    asked, broken = odd.quota.try_reserve, [True]

    async def try_reserve(*args, **options):
        if broken:
            broken.pop()
            raise ValueError("Redis said something odd")
        return await asked(*args, **options)

    odd.quota.try_reserve = try_reserve
    first, second = (asyncio.create_task(call(line, waiter(odd))) for _ in range(2))
    began = now()

    with pytest.raises(ValueError, match="odd"):
        await first
    assert await second - began < 0.1
    assert odd.in_flight == 0


@pytest.mark.parametrize("error", [ProviderDenied("401"), ProviderUnavailable("503")])
async def test_one_that_moves_holds_up_nobody(dispatcher, error):
    """What it would move to is paused for long: it is told its own error, the others go on."""
    good = FakeProvider("azure", error, metered=True, deployment="good")
    paused = FakeProvider(
        "azure",
        ProviderRateLimited("429", retry_after_s=20),
        metered=True,
        deployment="paused",
    )
    limits = [("paused", {"rpm": 600, "priority": 0}), ("good", {"rpm": 600, "priority": 1})]
    asked, began = dispatcher(good, paused, limits=limits, max_retries=0), now()

    with pytest.raises(type(error)):
        await ask(asked)
    for _ in range(5):
        await ask(asked)

    assert now() - began < 2
    assert good.calls == 6


async def test_a_fallback_that_many_ask_at_once_is_one(dispatcher):
    """They all wait until it is ready; it has one quota."""
    asked = dispatcher(
        FakeProvider("azure", metered=True), limits=[("fake-deployment", {"rpm": 60})]
    )
    ready = asked._registry.get

    async def slowly(name: str):
        await asyncio.sleep(0.3)
        return await ready(name)

    asked._registry.get = slowly
    tasks = [asyncio.create_task(ask(asked)) for _ in range(50)]
    await asyncio.gather(*tasks, return_exceptions=True)
    (provider,) = await ready("azure")

    assert sum(at < provider.called_at[0] + 0.1 for at in provider.called_at) == 1


async def test_one_that_comes_back_slower_is_taken_back(dispatcher):
    """Probes get the more time the longer it was away."""
    until = now() + 20

    def step():
        return ProviderUnavailable("503") if now() < until else after(3.0, answer())()

    slow = FakeProvider("azure", *[step] * 10_000, metered=True, deployment="slow")
    fast = FakeProvider("azure", metered=True, deployment="fast")
    limits = [("slow", {"rpm": 600}), ("fast", {"rpm": 600, "priority": 1})]
    asked = dispatcher(slow, fast, limits=limits)
    tasks = []
    for _ in range(300):
        tasks.append(asyncio.create_task(ask(asked)))
        await asyncio.sleep(0.5)
    await asyncio.gather(*tasks)

    (provider,) = asked.states()
    assert [each.breaker for each in provider.deployments] == ["closed", "closed"]
    assert slow.calls > 100


async def test_beside_a_dead_one_the_good_one_has_all_the_time(dispatcher):
    dead = FakeProvider(
        "azure", *[ProviderUnavailable("503")] * 1_000, metered=True, deployment="dead"
    )
    good = FakeProvider("azure", *[after(16.0, answer())] * 1_000, metered=True, deployment="good")
    asked = dispatcher(dead, good, limits=[("dead", {"rpm": 600}), ("good", {"rpm": 600})])
    for _ in range(30):
        await ask(asked)

    assert good.calls == 30


async def test_one_caller_does_not_fill_the_waiting_room():
    """Who floods it gives up its newest call for another's first."""
    one = deployment("a")
    line = scheduler(one, most_waiting=20)
    for _ in range(100):
        one.quota.reserve(now(), {"requests": 1.0})
    flood = [
        asyncio.create_task(call(line, waiter(one, caller="flood", patience_s=1e6)))
        for _ in range(25)
    ]
    await asyncio.sleep(0.01)
    polite = asyncio.create_task(call(line, waiter(one, caller="polite", patience_s=1e6)))
    outcomes = await asyncio.gather(*flood, return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, Overloaded)]

    assert await polite < max(each for each in outcomes if isinstance(each, float))
    assert len(refused) == 6
    assert all(each.retry_after_s >= 1 for each in refused)


async def test_nobody_is_told_to_come_back_tomorrow(dispatcher):
    refusals = [ProviderRateLimited("429", retry_after_s=86_400)] * 10
    provider = FakeProvider("azure", *refusals, metered=True)
    asked = dispatcher(provider, limits=[("fake-deployment", {"rpm": 600})], max_retries=0)

    with pytest.raises(ProviderRateLimited) as raised:
        await ask(asked)

    assert raised.value.retry_after_s == 60


async def test_a_lane_of_batches_leaves_the_room_to_requests():
    one = deployment("a")
    line = scheduler(one, most_waiting=10)
    for _ in range(100):
        one.quota.reserve(now(), {"requests": 1.0})
    batch = [
        asyncio.create_task(call(line, waiter(one, caller="a", lane="batch", patience_s=1e6)))
        for _ in range(10)
    ]
    await asyncio.sleep(0.01)

    assert await call(line, waiter(one, caller="a", patience_s=1e6)) > 0
    outcomes = await asyncio.gather(*batch, return_exceptions=True)
    assert sum(isinstance(each, Overloaded) for each in outcomes) == 1


async def test_one_deployment_that_says_it_is_spent_is_believed_for_a_while_only():
    """Without any word since: after two minutes all is tried again."""
    one = deployment("a")
    reservation = one.quota.reserve(now(), {"requests": 1.0})
    one.quota.learn(now(), QuotaReport(limit_requests=600, remaining_requests=0), reservation)
    lowered = one.quota.windows["requests"].cap(now())
    await asyncio.sleep(121)

    assert lowered == 10
    assert one.quota.windows["requests"].cap(now()) == 100
