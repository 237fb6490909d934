"""What a process makes of a quota that it shares, when Redis is there and when it is not."""

from collections import deque

import pytest

from app.parts.ground import now
from app.traffic.board import Board
from app.traffic.quota import Reservation
from app.traffic.shared import SharedQuota
from app.traffic.state import ProviderState
from app.traffic.window import Window
from app.usage import QuotaReport

RPM = 600


class Link:
    """Without a Redis: `reply` is what it says, None: it is gone."""

    def __init__(self, *, processes: int, reply: dict | None = None) -> None:
        self.processes = processes
        self.reply = reply
        self.settled_at = float("-inf")
        self.texts: dict[str, str] = {}

    @property
    def connected(self) -> bool:
        return self.reply is not None

    async def reserve(self, keys, asked):
        return self.reply

    async def told_by_others(self) -> dict[str, str]:
        return self.texts


def quota(link: Link) -> SharedQuota:
    made = SharedQuota({"requests": Window(RPM, span_s=10)}, link, "test")
    made.windows["requests"].report(0, limit=RPM, remaining=RPM, own=0)
    return made


async def take(each: SharedQuota, now: float) -> Reservation | float:
    return await each.try_reserve(now, {"requests": 1.0}, burst_s=1)


async def test_alone_siblings_are_no_strangers():
    """Four that lost Redis spend the quota between them, though the service tells each of what all
    have spent."""
    quotas, taken = [quota(Link(processes=4)) for _ in range(4)], deque()
    for tick in range(20 * 240):
        now = tick / 20
        for each in quotas:
            if isinstance(got := await take(each, now), Reservation):
                taken.append(now)
                spent = sum(at > now - 60 for at in taken)
                report = QuotaReport(limit_requests=RPM, remaining_requests=max(0, RPM - spent))
                each.learn(now, report, got)

    in_last_minute = sum(at > 180 for at in taken)
    assert 0.9 * RPM <= in_last_minute <= RPM


async def test_what_redis_said_was_left_grows_with_time():
    link = Link(processes=1, reply={"granted": False, "wait_s": 1, "dimensions": [{"left": 0}]})
    spent = quota(link)
    await take(spent, 100)

    assert spent.left(100, "requests") == 0
    assert spent.left(105, "requests") == pytest.approx(50, abs=1)
    assert spent.left(3_600, "requests") == 100


async def test_the_rate_is_an_equal_part_or_what_was_had():
    """Where the others leave more, more was had."""
    granted = {"granted": True, "wait_s": 0, "dimensions": [{"left": 9, "own": 1}]}
    mine = quota(Link(processes=4, reply=granted))
    idle = mine.per_second(0, "requests")
    for number in range(480):
        await take(mine, number / 8)

    assert idle == pytest.approx(2.5, rel=0.02)
    assert mine.per_second(60, "requests") == pytest.approx(8, rel=0.02)


async def test_what_another_version_tells_is_passed_over():
    """In the middle of an upgrade."""
    link = Link(processes=3)
    own = ProviderState("one:1", "local", {"interactive": 0, "batch": 0}, [])
    other = '[{"process": "two:2", "provider": "local", "waiting": {"interactive": 3, "batch": 0}'
    link.texts = {
        "prc_1": "nonsense",
        "prc_2": '[{"process": "three:3"}]',
        "prc_3": other + ', "deployments": []}]',
    }

    told = await Board(lambda: [own], link, clock=now).read()

    assert [(each.process, each.waiting["interactive"]) for each in told] == [
        ("one:1", 0),
        ("two:2", 3),
    ]


async def test_health_is_told_with_each_provider():
    """A version that does not know it passes over it, as this one does over what a newer one
    tells."""
    link = Link(processes=2)
    own = ProviderState("one:1", "local", {"interactive": 0, "batch": 0}, [])
    other = '[{"process": "two:2", "provider": "local", "waiting": {}, "deployments": [], '
    link.texts = {"prc_2": other + '"checks": {"quota": false}, "mood": 1}]'}

    told = await Board(lambda: [own], link, lambda: {"quota": True}, clock=now).read()

    assert [(each.process, each.checks) for each in told] == [
        ("one:1", {"quota": True}),
        ("two:2", {"quota": False}),
    ]
