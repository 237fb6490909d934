"""Several deployments of one provider: which is asked, and what happens when one fails."""

import asyncio

import pytest
from PIL import Image

from app.budget import Payer
from app.domains import Domain
from app.errors import (
    Overloaded,
    ProviderDenied,
    ProviderPaused,
    ProviderRateLimited,
    ProviderUnavailable,
)
from app.images import prepare
from app.settings_groups import TrafficSettings
from app.traffic import Case, Dispatcher, Spent, Turn
from app.traffic.deployment import UNKNOWN_CALL_S
from app.usage import QuotaReport
from tests.fakes import FakeProvider, after, answer
from tests.pictures import encoded
from tests.virtual_time import now

pytestmark = pytest.mark.virtual_time

IMAGE = prepare(encoded(Image.new("RGB", (8, 8))), longest=8)
DOMAIN = Domain(name="flowers", classes=("rose", "daisy"))


def deployment(name: str, *steps, **options) -> FakeProvider:
    return FakeProvider("azure", *steps, metered=True, deployment=name, **options)


def always(outcome, seconds: float = 0.0):
    return [after(seconds, outcome)] * 10_000


async def ask(dispatcher: Dispatcher, *names: str, spent: Spent | None = None, **who):
    who = {"payer": Payer("test")} | who
    return await dispatcher.ask(
        names or ("azure",), Case(IMAGE, DOMAIN, spent=spent or Spent(), **who)
    )


async def test_the_first_priority_is_asked_while_it_has_quota(dispatcher):
    """What is paid for by the hour before what is paid for by the call."""
    provisioned, paid = deployment("provisioned"), deployment("paid")
    limits = {"provisioned": {"rpm": 60, "priority": 0}, "paid": {"priority": 1}}
    asked = dispatcher(paid, provisioned, limits=limits.items())

    for _ in range(20):
        await ask(asked)
        await asyncio.sleep(0.5)

    assert provisioned.calls == pytest.approx(10, abs=2)
    assert paid.calls == 20 - provisioned.calls


async def test_weights_and_latencies_share_the_rest(dispatcher):
    slow = deployment("slow", *always(answer(), 4.0))
    fast = deployment("fast", *always(answer(), 0.5))
    asked = dispatcher(slow, fast)

    for _ in range(200):
        asyncio.get_running_loop().create_task(ask(asked))
        await asyncio.sleep(0.2)

    assert fast.calls > 2 * slow.calls


async def test_one_that_fails_hands_over_at_once(dispatcher):
    """Without a pause, and the row tells of the one that answered."""
    broken, good = deployment("broken", *always(ProviderUnavailable("503"))), deployment("good")
    asked, spent = dispatcher(broken, good, limits=[("good", {"priority": 1})]), Spent()
    began = now()

    await ask(asked, spent=spent)

    assert now() == began
    assert spent.calls == 2
    assert spent.capabilities.deployment == "good"
    assert not spent.degraded


async def test_a_dead_one_costs_nobody_an_answer_and_is_found_alive_again(dispatcher):
    """Two deployments at 40 % of what they hold; one is dead for two minutes."""
    dead_until = now() + 120

    def sometimes():
        return ProviderUnavailable("reset") if now() < dead_until else answer()

    dying, healthy = deployment("dying", *[sometimes] * 10_000), deployment("healthy")
    asked, slowest = dispatcher(dying, healthy, max_retries=0), 0.0

    async def one() -> None:
        nonlocal slowest
        began = now()
        await ask(asked)
        slowest = max(slowest, now() - began)

    async with asyncio.TaskGroup() as calls:
        for _ in range(8 * 240):
            calls.create_task(one())
            await asyncio.sleep(1 / 8)

    assert slowest < 1
    assert sum(at < dead_until for at in dying.called_at) < 20
    assert sum(at > dead_until + 60 for at in dying.called_at) > 100


async def test_one_that_hangs_leaves_time_for_another(dispatcher):
    hangs, good = deployment("hangs", *always(answer(), 1e6)), deployment("good")
    asked = dispatcher(hangs, good, limits=[("good", {"priority": 1})], timeout=30)
    began = now()

    await ask(asked)

    assert now() - began == pytest.approx(15)


async def test_what_has_waited_long_is_not_cut_off_for_another_that_would_be_too_late(dispatcher):
    """An answer would be paid, and lost: half of the time that is left is too little for one."""
    usual_s, left_s = 2.0, 3.0
    both = [deployment(name, *always(answer(), usual_s)) for name in ("one", "two")]
    asked = dispatcher(*both, timeout=30)
    for _ in range(40):
        await ask(asked)
    calls, spent, began = sum(each.calls for each in both), Spent(), now()

    case = Case(IMAGE, DOMAIN, payer=Payer("test"), spent=spent)
    await asked.ask(("azure",), case, turn=Turn(began - (30 - left_s)))

    assert now() - began == pytest.approx(usual_s)
    assert sum(each.calls for each in both) == calls + 1


async def test_before_the_first_answer_none_is_asked_for_that_would_be_too_late(dispatcher):
    """How long one takes is not known yet: not less than a second, then."""
    refusal = ProviderRateLimited("429", retry_after_s=29.5)
    azure = deployment("azure", refusal, *always(answer(), 1.0))

    with pytest.raises(ProviderRateLimited):
        await ask(dispatcher(azure, timeout=30))

    assert azure.calls == 1


async def test_a_slow_one_that_hangs_leaves_time_for_a_quick_one(dispatcher):
    """Also where what it usually takes is half of the time there is."""
    slow = deployment("slow", *[after(14.9, answer())] * 40, *always(answer(), 1e6))
    quick = deployment("quick", *always(answer(), 0.5))
    asked = dispatcher(slow, quick, limits=[("quick", {"priority": 1})], timeout=30)
    for _ in range(40):
        await ask(asked)
    assert quick.calls == 0

    began = now()
    await ask(asked)

    assert quick.calls == 1
    assert now() - began < 30


@pytest.mark.parametrize(("first_s", "timeout"), [(20.0, 30.0), (None, 0.8)])
async def test_one_that_hangs_is_found_out_though_little_is_known_of_it(
    dispatcher, first_s, timeout
):
    """After a first answer that was slow for once, or before there was any."""
    first = [] if first_s is None else [after(first_s, answer())]
    hangs = deployment("hangs", *first, *always(answer(), 1e6))
    asked = dispatcher(hangs, max_retries=0, timeout=timeout)
    for _ in first:
        await ask(asked)

    async def ask_each_second() -> int:
        calls, tasks = hangs.calls, []
        for _ in range(10):
            tasks.append(asyncio.create_task(ask(asked)))
            await asyncio.sleep(1)
        await asyncio.gather(*tasks, return_exceptions=True)
        return hangs.calls - calls

    assert await ask_each_second() >= 6
    assert await ask_each_second() <= 2  # probes


async def test_a_wrong_key_is_no_reason_to_fail_either(dispatcher):
    denied, good = deployment("denied", *always(ProviderDenied("401"))), deployment("good")
    asked = dispatcher(denied, good, limits=[("good", {"priority": 1})])

    for _ in range(30):
        await ask(asked)
        await asyncio.sleep(1)

    assert good.calls == 30
    assert denied.calls < 15


async def test_a_refusal_for_quota_moves_on_without_waiting(dispatcher):
    """And the one that refused is left alone as long as it asked."""
    refusal = ProviderRateLimited("429", retry_after_s=20)
    full, free = deployment("full", refusal), deployment("free")
    asked = dispatcher(full, free, limits=[("free", {"priority": 1})])
    began = now()

    for _ in range(10):
        await ask(asked)
    asked_at = now()
    await asyncio.sleep(21)
    await ask(asked)

    assert asked_at - began < 2  # a service that has just started goes slowly
    assert full.called_at == [began, asked_at + 21]


async def test_when_all_fail_the_next_provider_answers_and_says_so(dispatcher):
    dead = [deployment(name, *always(ProviderUnavailable("503"))) for name in ("one", "two")]
    asked, spent = dispatcher(*dead), Spent()

    await ask(asked, "azure", "local", spent=spent)

    assert spent.provider == "local"
    assert spent.degraded


async def test_when_all_are_set_aside_it_is_said_at_once(dispatcher):
    """With the time at which the next probe is due, less half of what it could wait."""
    asked = dispatcher(
        deployment("dead", *always(ProviderUnavailable("503"))), timeout=3, max_retries=0
    )
    for _ in range(6):
        with pytest.raises(ProviderUnavailable):
            await ask(asked)
    began = now()

    with pytest.raises(ProviderPaused) as raised:
        await ask(asked)

    assert now() == began
    assert raised.value.retry_after_s == pytest.approx(5 - (3 - UNKNOWN_CALL_S) / 2, abs=0.1)


async def test_retries_are_a_tenth_of_the_calls(dispatcher):
    """Beyond the first ten: what fails for long is not asked three times as often."""
    flaky = deployment("flaky", *[ProviderUnavailable("503"), answer()] * 500)
    asked, failed = dispatcher(flaky), 0

    for _ in range(500):
        try:
            await ask(asked)
        except ProviderUnavailable:
            failed += 1
        await asyncio.sleep(0.3)

    assert flaky.calls - 500 <= 10 + 50
    assert failed > 0


async def test_interactive_calls_hardly_wait_while_batches_want_everything(dispatcher):
    """A fifth of the quota for people, evenly: they wait a tenth of a second or so."""
    azure = deployment("azure", *always(answer(), 0.8))
    asked = dispatcher(azure, timeout=600, traffic=TrafficSettings(max_waiting=10_000))
    waits = []

    async def person() -> None:
        spent = Spent()
        await ask(asked, spent=spent)
        waits.append(spent.wait_s)

    batch = [
        asyncio.create_task(ask(asked, payer=Payer("bulk"), lane="batch", spent=Spent()))
        for _ in range(2_000)
    ]
    people = []
    for _ in range(2 * 120):
        people.append(asyncio.create_task(person()))
        await asyncio.sleep(0.5)
    await asyncio.gather(*people)

    per_minute = azure.calls / ((now() - 1000) / 60)
    for task in batch:
        task.cancel()
    await asyncio.gather(*batch, return_exceptions=True)
    waits.sort()
    assert waits[int(0.95 * len(waits))] < 1
    assert per_minute >= 0.97 * 600


async def test_more_than_may_wait_are_told_to_come_back(dispatcher):
    asked = dispatcher(
        deployment("small"), limits=[("small", {"rpm": 6})], traffic=TrafficSettings(max_waiting=2)
    )
    waiting = [asyncio.create_task(ask(asked, lane="batch")) for _ in range(4)]

    with pytest.raises(Overloaded):
        await asyncio.gather(*waiting)


async def test_who_finds_no_place_to_wait_is_answered_by_the_next_provider(dispatcher):
    """When the domain has one."""
    asked = dispatcher(
        deployment("small"), limits=[("small", {"rpm": 6})], traffic=TrafficSettings(max_waiting=1)
    )
    await ask(asked)
    waiting = asyncio.create_task(ask(asked))
    await asyncio.sleep(0)
    spent = Spent()

    await ask(asked, "azure", "local", spent=spent)

    assert spent.provider == "local"
    assert spent.degraded
    await waiting


async def test_a_lowered_quota_is_kept_to(dispatcher):
    """As soon as an answer tells."""
    told = answer(quota=QuotaReport(limit_requests=300, remaining_requests=250))
    azure = deployment("azure", *always(told))
    asked = dispatcher(azure, timeout=600)

    await asyncio.gather(*(ask(asked) for _ in range(200)))

    late = [at for at in azure.called_at if at > 1010]
    assert len(late) > 100
    assert all(sum(start <= at < start + 10 for at in late) <= 50 for start in late)
