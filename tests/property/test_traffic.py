"""Any schedule of calls: the quota holds, nobody is forgotten, everybody has a turn."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import ProviderError, ProviderRateLimited, ProviderUnavailable
from app.settings_groups import DeploymentLimits
from app.traffic.deployment import Deployment
from app.traffic.queue import Lane, Waiter
from app.traffic.scheduler import Scheduler
from tests.fakes import FakeProvider, answer
from tests.virtual_time import now, passed_s, run, virtual_loop

RPM, TPM = 60, 6_000
SPAN_S = 10

Outcome = Literal["answered", "failed", "refused", "never made"]


@dataclass(frozen=True)
class Call:
    """One wish: it comes `after_s` the one before, takes `lasts_s` when it is let through, and its
    caller goes away after `leaves_s`. Before it comes the clock is set by `clock_s`."""

    after_s: float
    caller: str
    lane: Lane
    tokens: int
    patience_s: float
    lasts_s: float
    leaves_s: float | None
    outcome: Outcome
    clock_s: float = 0.0


@dataclass(frozen=True)
class Made:
    """What became of a call, in the end; times are seconds that passed."""

    number: int
    call: Call
    came_at: float
    at: float | None = None
    refused: ProviderError | None = None


def calls_with(clock_s: st.SearchStrategy[float]) -> st.SearchStrategy[Call]:
    return st.builds(
        Call,
        clock_s=clock_s,
        after_s=st.sampled_from([0, 0, 0, 0.1, 1, 7, 30]),
        caller=st.sampled_from("abc"),
        lane=st.sampled_from(["interactive", "batch"]),
        tokens=st.integers(1, 2_000),
        patience_s=st.sampled_from([0.5, 5, 30, 300]),
        lasts_s=st.sampled_from([0, 0.3, 4]),
        leaves_s=st.sampled_from([None, None, None, 0, 0.2, 3]),
        outcome=st.sampled_from(["answered", "answered", "failed", "refused", "never made"]),
    )


calls = calls_with(st.just(0.0))


def scheduler(*, rpm: int = RPM, tpm: int | None = TPM, in_flight: int = 64, count: int = 1):
    limits = DeploymentLimits(rpm=rpm, tpm=tpm, window=SPAN_S, max_in_flight=in_flight)
    deployments = [
        Deployment(FakeProvider(deployment=f"d{number}"), limits, now=now())
        for number in range(count)
    ]
    return Scheduler(deployments, batch_share=0.1, most_waiting=10_000)


def wish(line: Scheduler, call: Call) -> Waiter:
    amounts = {"requests": 1.0, "tokens": float(call.tokens)}
    return Waiter(
        call.caller,
        call.lane,
        dict.fromkeys(line.deployments, amounts),
        deadline=now() + call.patience_s,
    )


async def make(line: Scheduler, number: int, call: Call) -> Made:
    came_at = passed_s()
    try:
        async with asyncio.timeout(call.leaves_s):
            ticket = await line.admit(wish(line, call))
    except ProviderError as error:
        return Made(number, call, came_at, refused=error)
    except TimeoutError:
        return Made(number, call, came_at)
    at = passed_s()
    if call.outcome == "never made":
        line.give_back(ticket)
        return Made(number, call, came_at)
    await asyncio.sleep(call.lasts_s)
    outcome = {
        "answered": answer(),
        "failed": ProviderUnavailable("503"),
        "refused": ProviderRateLimited("429", retry_after_s=2),
    }[call.outcome]
    ticket.deployment.ended(now(), ticket, call.lasts_s, outcome)
    line.changed()
    return Made(number, call, came_at, at=at)


async def play(line: Scheduler, schedule: list[Call]) -> list[Made]:
    """What became of them, in the order in which they ended."""
    tasks = []
    for number, call in enumerate(schedule):
        await asyncio.sleep(call.after_s)
        virtual_loop().set_clock(call.clock_s)
        tasks.append(asyncio.create_task(make(line, number, call)))
    made = [await each for each in asyncio.as_completed(tasks)]
    await line.aclose()
    return made


def most_in(span_s: float, amounts: list[tuple[float, float]]) -> float:
    """The most that any window of `span_s` seconds holds."""
    return max(
        (sum(each for at, each in amounts if start <= at < start + span_s) for start, _ in amounts),
        default=0,
    )


@given(st.lists(calls, max_size=60), st.sampled_from([1, 3]))
@settings(deadline=None, max_examples=200)
def test_the_quota_holds_and_everybody_hears(schedule, in_flight):
    """Whatever comes, fails, is refused or goes away. A wake-up that was lost would hang here."""

    async def scenario():
        line = scheduler(in_flight=in_flight)
        made = await play(line, schedule)
        return line.deployments[0], made, now()

    deployment, made, end = run(scenario())

    let_through = [each for each in made if each.at is not None]
    assert most_in(SPAN_S, [(each.at, 1) for each in let_through]) <= RPM * SPAN_S / 60
    assert most_in(60, [(each.at, each.call.tokens) for each in let_through]) <= TPM
    for each in let_through:
        assert each.at <= each.came_at + each.call.patience_s
    for each in made:
        if each.refused is not None:
            assert each.refused.retry_after_s >= 1
    assert_settled(deployment, end)


def assert_settled(deployment: Deployment, at: float) -> None:
    assert deployment.in_flight == 0
    for window in deployment.quota.windows.values():
        assert 0 <= window.left(at) <= window.belief.per_minute(at)
        assert window.own_in_minute(at + 120) == 0


@given(st.lists(calls_with(st.sampled_from([0, 0, 0, -0.3, -5, -70])), max_size=40))
@settings(deadline=None, max_examples=100)
def test_a_clock_that_is_set_back_never_lets_more_through(schedule):
    made = run_with(schedule)

    let_through = [each for each in made if each.at is not None]
    assert most_in(SPAN_S, [(each.at, 1) for each in let_through]) <= RPM * SPAN_S / 60
    assert most_in(60, [(each.at, each.call.tokens) for each in let_through]) <= TPM


@given(
    st.lists(calls_with(st.sampled_from([0, 0, -0.3, -70, 0.3, 5, 90])), max_size=40),
    st.sampled_from([1, 3]),
)
@settings(deadline=None, max_examples=100)
def test_whatever_the_clock_does_everybody_hears(schedule, in_flight):
    """And nothing stays reserved. A wake-up that was lost would hang here."""

    async def scenario():
        line = scheduler(in_flight=in_flight)
        made = await play(line, schedule)
        longest_back_s = sum(-min(0, each.clock_s) for each in schedule)
        return line.deployments[0], made, now() + longest_back_s

    deployment, made, end = run(scenario())

    assert len(made) == len(schedule)
    assert_settled(deployment, end)


@given(st.lists(calls, max_size=60))
@settings(deadline=None, max_examples=100)
def test_a_callers_calls_go_in_order(schedule):
    """In each lane, those that were let through."""
    made = run_with(schedule)

    order = defaultdict(list)
    for each in sorted(made, key=lambda each: (each.at or 0, each.number)):
        if each.at is not None:
            order[each.call.lane, each.call.caller].append(each.number)
    assert all(numbers == sorted(numbers) for numbers in order.values())


def run_with(schedule: list[Call], **options) -> list[Made]:
    async def scenario():
        return await play(scheduler(**options), schedule)

    return run(scenario())


@given(
    st.lists(st.integers(1, 900), min_size=2, max_size=8),
    st.lists(st.integers(1, 900), min_size=2, max_size=8),
)
@settings(deadline=None, max_examples=100)
def test_callers_get_equal_shares_whatever_their_calls_take(one, other):
    """Two who always want more: in tokens neither is ahead by more than two calls."""
    schedule = [
        Call(0, caller, "interactive", tokens[turn % len(tokens)], 1e6, 0, None, "answered")
        for turn in range(60)
        for caller, tokens in (("a", one), ("b", other))
    ]

    made = run_with(schedule, rpm=60_000)

    given, left = {"a": 0, "b": 0}, {"a": 60, "b": 60}
    for each in sorted(made, key=lambda each: each.at):  # of one time, as they were let through
        given[each.call.caller] += each.call.tokens
        left[each.call.caller] -= 1
        if all(left.values()):
            assert abs(given["a"] - given["b"]) <= 2 * max(*one, *other)


@given(st.sampled_from([100, 450, 1_000]), st.sampled_from([1, 2]))
@settings(deadline=None, max_examples=100)
def test_no_lane_starves_and_no_quota_is_left(tokens, count):
    """Both want more than there is: batches get their tenth, and all of the quota is spent."""
    schedule = [
        Call(0, caller, lane, tokens, 1_000, 0, None, "answered")
        for _ in range(200)
        for caller, lane in (("a", "interactive"), ("b", "batch"))
    ]

    async def scenario():
        line = scheduler(rpm=600, tpm=30_000, count=count)
        made, began = [], now()

        async def one_call(number, call):
            each = await make(line, number, call)
            made.append(each)

        tasks = [
            asyncio.create_task(one_call(number, call)) for number, call in enumerate(schedule)
        ]
        await asyncio.sleep(300)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await line.aclose()
        return [each for each in made if each.at is not None and each.at - began <= 300]

    made = run(scenario())

    by_lane = {lane: [each for each in made if each.call.lane == lane] for lane in Lane.__args__}
    per_minute = min(600, 30_000 // tokens) * count
    busy_s = min(300.0, max(each.at for each in made) - min(each.at for each in made))
    assert len(made) >= 0.93 * per_minute * min(busy_s, 300) / 60 or len(made) == len(schedule)
    both = min(len(schedule) // 2, len(made) // 2)
    while_both = sorted(made, key=lambda each: each.at)[:both]
    share = sum(each.call.lane == "batch" for each in while_both) / len(while_both)
    assert 0.05 <= share <= 0.2
    assert by_lane["batch"]


@dataclass(frozen=True)
class Crowd:
    """Calls that all came at once and wait as long as it takes, and one that comes later."""

    waiting: list[tuple[str, Lane, int]]
    after_s: float
    caller: str
    lane: Lane
    patience_s: float


lanes = st.sampled_from(["interactive", "batch"])
crowds = st.builds(
    Crowd,
    waiting=st.lists(
        st.tuples(st.sampled_from("abc"), lanes, st.sampled_from([300, 450, 800])),
        min_size=100,
        max_size=300,
    ),
    after_s=st.sampled_from([0.1, 5, 20]),
    caller=st.sampled_from("az"),
    lane=lanes,
    patience_s=st.sampled_from([5, 30]),
)


@given(crowds, st.sampled_from([60, 600]), st.booleans())
@settings(deadline=None, max_examples=100)
def test_who_comes_back_when_told_is_served(crowd, rpm, alone):
    """Or, where calls fill the quota less well than usual, has not much longer to wait. Alone, it
    is not sent away for longer than it would have waited."""

    async def scenario(patience_s):
        line = scheduler(rpm=rpm, tpm=50_000)
        tasks = [
            asyncio.create_task(make(line, number, wanted("a" if alone else caller, lane, tokens)))
            for number, (caller, lane, tokens) in enumerate(crowd.waiting)
        ]
        await asyncio.sleep(crowd.after_s)
        began, told = now(), []
        while True:
            last = await make(line, 0, wanted(crowd.caller, crowd.lane, 450, patience_s))
            if last.refused is None:
                break
            told.append(last.refused.retry_after_s)
            await asyncio.sleep(told[-1])
        served_after_s = now() - began
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await line.aclose()
        return served_after_s, told

    def wanted(caller, lane, tokens, patience_s=1e6):
        return Call(0, caller, lane, tokens, patience_s, 0, None, "answered")

    waited_s, _ = run(scenario(1e6))
    _, told = run(scenario(crowd.patience_s))

    assert sum(told[1:]) <= 0.1 * sum(told[:1])
    if told and alone and crowd.caller == "a":
        assert told[0] <= 1.1 * waited_s
