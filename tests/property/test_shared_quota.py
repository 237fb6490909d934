"""The script in Redis decides as one process alone does: their rules are the same."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from redis import Redis

from app.identifiers import new_id
from app.traffic import link as links
from app.traffic.link import RedisLink
from app.traffic.quota import Quota, Reservation
from app.traffic.shared import SharedQuota
from app.traffic.window import Window
from app.usage import QuotaReport
from tests.redis_server import RedisServer

RPM, TPM = 600, 60_000
CLOCK, CLOCK_OF_A_TEST = "redis.call('TIME')", "redis.call('HMGET', 'clock', 's', 'us')"
EPOCH_S = 1_700_000_000
CLOSE_S = 1e-4


@dataclass(frozen=True)
class Step:
    """A wish, what its deployment says of its quota, if anything, and the time until the next."""

    lasts_s: float
    tokens: int
    burst_s: float
    then: QuotaReport | float | str | None


steps = st.builds(
    Step,
    lasts_s=st.sampled_from([0, 0, 0.0137, 0.219, 1.093, 7.31, 31.7, 70.3]),
    tokens=st.sampled_from([1, 90, 450, 450, 7_000]),
    burst_s=st.sampled_from([0.5, 1, 1, 10]),
    then=st.one_of(
        st.none(),
        st.just("not made"),
        st.sampled_from([0.4, 3.7]),  # refused, and when to try again
        st.builds(
            QuotaReport,
            limit_requests=st.sampled_from([None, RPM, RPM / 2]),
            remaining_requests=st.sampled_from([None, -1, 100, 480]),
            limit_tokens=st.sampled_from([None, TPM]),
            remaining_tokens=st.sampled_from([None, 20_000, TPM]),
        ),
    ),
)


@pytest.fixture(scope="module")
def redis():
    with TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        yield server
        server.kill()


@pytest.fixture(scope="module", autouse=True)
def clock_of_the_test():
    """Redis' own can't be set, so the script reads one that can."""
    assert CLOCK in links.RESERVE
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(links, "RESERVE", links.RESERVE.replace(CLOCK, CLOCK_OF_A_TEST))
        patch.setattr(links, "ANSWER_S", 10.0)
        yield


@given(st.lists(steps, max_size=40))
@settings(deadline=None, max_examples=150)
def test_one_process_decides_as_it_would_alone(redis, schedule):
    asyncio.run(play(redis, schedule, processes=1))


@given(st.lists(steps, max_size=40))
@settings(deadline=None, max_examples=100)
def test_several_decide_as_one_would(redis, schedule):
    """Whoever's turn it is. What comes of a call is known to one of them only, so nothing does."""
    untold = [replace(step, then=None) for step in schedule]
    asyncio.run(play(redis, untold, processes=3))


async def play(redis: RedisServer, schedule: list[Step], *, processes: int) -> None:
    now, alone = 0.0, Quota(windows())
    async with shared(redis, processes=processes) as (quotas, set_clock):
        for step, turn in zip(schedule, cycle(quotas), strict=False):
            set_clock(now)
            amounts = {"requests": 1.0, "tokens": float(step.tokens)}
            expected = await alone.try_reserve(now, amounts, burst_s=step.burst_s)
            got = await turn.try_reserve(now, amounts, burst_s=step.burst_s)
            assert turn.link.connected
            agree(now, got, expected)
            tell(turn, now, step, got)
            tell(alone, now, step, expected)
            now += step.lasts_s


@asynccontextmanager
async def shared(redis: RedisServer, *, processes: int):
    """Their quotas, and what sets the clock of Redis."""
    name = new_id("test")
    opened = [RedisLink(redis.url) for _ in range(processes)]
    async with AsyncExitStack() as stack:
        clock = stack.enter_context(Redis.from_url(redis.url))
        for link in opened:
            await link.open()
            stack.push_async_callback(link.aclose)

        def set_clock(now: float) -> None:
            us = round((EPOCH_S + now) * 1e6)
            clock.hset("clock", mapping={"s": us // 1_000_000, "us": us % 1_000_000})

        yield [SharedQuota(windows(), link, name) for link in opened], set_clock


async def test_what_was_taken_without_redis_leaves_when_it_would_have(redis):
    """And not all at once, a window after it is back: there is no gap."""
    async with shared(redis, processes=1) as ([quota], set_clock):
        link, taken, now = quota.link, [], 0.0
        while now < 200:
            link.connected = not 60 <= now < 120
            set_clock(now)
            got = await quota.try_reserve(now, {"requests": 1.0, "tokens": 600.0}, burst_s=1)
            if isinstance(got, float):
                now = max(got, now + 0.01)
                continue
            taken.append(now)
            untold = QuotaReport(remaining_requests=RPM, remaining_tokens=TPM)
            quota.learn(now, untold, got)

    for start in range(70, 200, 10):
        assert sum(start <= at < start + 10 for at in taken) >= 12
    assert all(sum(start <= at < start + 60 for at in taken) <= 100 for start in taken)


def windows() -> dict[str, Window]:
    return {"requests": Window(RPM, span_s=10), "tokens": Window(TPM, span_s=60)}


def agree(now: float, got: Reservation | float, expected: Reservation | float) -> None:
    if isinstance(got, Reservation) and isinstance(expected, Reservation):
        assert got.own == pytest.approx(expected.own, abs=1)
    elif isinstance(got, float) and isinstance(expected, float):
        assert got - now == pytest.approx(expected - now, abs=CLOSE_S)
    else:
        wait_s = (got if isinstance(got, float) else expected) - now
        assert wait_s <= CLOSE_S
        assume(False)  # on the very edge rounding decides, and all that follows


def tell(quota: Quota, now: float, step: Step, got: Reservation | float) -> None:
    if isinstance(got, float):
        return
    if step.then == "not made":
        quota.give_back(got)
    elif isinstance(step.then, QuotaReport):
        quota.learn(now, step.then, got)
    elif step.then is not None:
        quota.refused(now, QuotaReport(), step.then)
