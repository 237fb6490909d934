"""A receiver is sent to as fast as it takes it, and no faster."""

import asyncio

import pytest

from app.webhooks.lane import SLOWED_S, Lane
from tests.virtual_time import now

LONGEST_HOLD_S = 3_600.0

pytestmark = pytest.mark.virtual_time


def lane(at_once: int = 8, per_second: float | None = None) -> Lane:
    return Lane(at_once=at_once, per_second=per_second, longest_hold_s=LONGEST_HOLD_S, clock=now)


async def begin(it: Lane) -> bool:
    assert it.room()
    return await it.turn()


def end(it: Lane, outcome: str = "delivered", *, probe: bool = False, after: float | None = None):
    it.ended(
        probe=probe,
        failed={"delivered": False, "nothing": None}.get(outcome, True),
        overloaded=outcome == "overloaded",
        retry_after_s=after,
    )


async def test_so_many_at_a_time_and_no_more():
    it = lane(at_once=3)
    for _ in range(3):
        await begin(it)

    assert it.room() == 0
    end(it)
    assert it.room() == 1


async def test_an_overloaded_receiver_is_left_alone_and_gets_half():
    it = lane(at_once=8)
    await begin(it)
    end(it, "overloaded")

    assert it.room() == 0
    assert it.free_in_s() == SLOWED_S
    await asyncio.sleep(SLOWED_S)
    assert it.room() == 4


async def test_each_success_gives_it_one_more():
    it = lane(at_once=4)
    await begin(it)
    end(it, "overloaded")
    await asyncio.sleep(SLOWED_S)
    rooms = []
    for _ in range(4):
        await begin(it)
        end(it)
        rooms.append(it.room())

    assert rooms == [3, 4, 4, 4]


async def test_the_pause_is_longer_each_time_and_as_long_as_it_says():
    it = lane()
    pauses = []
    for asked in (None, None, None, 7.0, 100_000.0):
        await begin(it)
        end(it, "overloaded", after=asked)
        pauses.append(it.free_in_s())
        await asyncio.sleep(it.free_in_s())

    assert pauses == [1, 2, 4, 7, LONGEST_HOLD_S]


async def test_one_that_only_fails_is_tried_with_one_now_and_then():
    it = lane()
    for _ in range(6):
        await begin(it)
        end(it, "failed")

    assert it.room() == 0
    await asyncio.sleep(it.free_in_s())
    assert it.room() == 1
    probe = await begin(it)
    assert probe
    assert it.room() == 0
    end(it, "delivered", probe=probe)
    assert it.room() == 8


async def test_a_probe_that_says_nothing_leaves_the_way_to_the_next():
    """What it was about is deleted, say."""
    it = lane()
    for _ in range(6):
        await begin(it)
        end(it, "failed")
    await asyncio.sleep(it.free_in_s())
    end(it, "nothing", probe=await begin(it))

    assert it.room() == 1


@pytest.mark.parametrize(("per_second", "count"), [(0.5, 5), (10, 40)])
async def test_its_limit_is_kept(per_second, count):
    """Over any second, a tenth of it or one more at most."""
    it = lane(at_once=count, per_second=per_second)
    turns = []
    while len(turns) < count:
        while it.room() and len(turns) < count:
            await it.turn()
            turns.append(now())
        await asyncio.sleep(it.free_in_s())

    burst = max(1, per_second / 10)
    for first in turns:
        assert sum(first <= each < first + 1 for each in turns) <= per_second + burst + 1
    took_s = turns[-1] - turns[0]
    assert (count - burst) / per_second * 0.95 <= took_s <= count / per_second * 1.3


async def test_without_a_limit_nobody_waits():
    it = lane()
    began = now()
    for _ in range(1_000):
        await begin(it)
        end(it)

    assert now() == began
