"""Several processes, restarts and crashes, readings that are missing, and people who are told."""

import asyncio
from datetime import timedelta

import pytest

from app.alerts.notify import WITHIN_S
from app.alerts.state import NO_DATA
from app.errors import StorageUnavailable
from tests.alerting import EVERY_S, Inbox, World
from tests.inline_database import Inline

DOWN = {"storage": True, "quota": False}
WELL = {"storage": True, "quota": True}


@pytest.fixture
async def world():
    database = Inline()
    world = World(database)
    world.only("unhealthy")  # which fires after a minute
    yield world
    await database.close()


async def gone(world) -> None:
    """No process tells anything any more."""
    world.board.checks = {}


class TestTurns:
    async def test_two_processes_fire_it_once(self, world):
        """And one of them evaluates."""
        inbox = Inbox()
        engines = world.engine("prc_a", inbox), world.engine("prc_b", inbox)
        world.board.checks = DOWN
        await world.pass_time(*engines, minutes=5)

        assert await world.alerts() == [("unhealthy", "quota", "firing")]
        assert inbox.got == [("unhealthy", "quota", "firing")]

    async def test_another_goes_on_when_one_dies(self, world):
        """Within two intervals, with the time that had passed."""
        first, second = world.engine("prc_a"), world.engine("prc_b")
        world.board.checks = DOWN
        await world.pass_time(first, second, seconds=45)
        (before,) = await world.stored.page(None, limit=9)
        await world.pass_time(second, seconds=45)
        (after,) = await world.stored.page(None, limit=9)

        assert (before.state, after.state) == ("pending", "firing")
        assert after.id == before.id
        assert after.fired_at - after.since <= timedelta(seconds=60 + 2 * EVERY_S)

    async def test_another_goes_on_at_once_when_one_ends(self, world):
        first, second = world.engine("prc_a"), world.engine("prc_b")
        await first.look()
        await first.aclose()
        world.board.checks = DOWN
        await second.look()
        await first.aclose()

        assert await world.alerts() == [("unhealthy", "quota", "pending")]
        assert await world.stored.take_turn("prc_c", world.clock(), free_after=NO_DATA) is None

    async def test_one_that_comes_back_with_old_readings_changes_nothing(self, world):
        """Its turn was taken meanwhile."""
        first, second = world.engine("prc_a"), world.engine("prc_b")
        await first.look()
        read, reads, held = world.board.read, asyncio.Event(), asyncio.Event()

        async def slow():
            told = await read()
            reads.set()
            await held.wait()
            return told

        world.board.read = slow
        world.board.checks = DOWN
        world.clock.ahead(seconds=EVERY_S)
        late = asyncio.create_task(first.look())
        await reads.wait()
        world.board.read = read
        world.board.checks = WELL
        await world.pass_time(second, minutes=1)
        held.set()
        await late

        assert await world.alerts() == []

    async def test_a_turn_far_ahead_holds_up_nobody(self, world):
        """A process whose clock was wrong had the last one."""
        wrong, right = world.engine("prc_a"), world.engine("prc_b")
        world.clock.ahead(hours=5)
        await wrong.look()
        world.clock.ahead(hours=-5)
        world.board.checks = DOWN
        await right.look()

        assert await world.alerts() == [("unhealthy", "quota", "pending")]

    @pytest.mark.parametrize("every_s", [0.3, 8, EVERY_S, 60])
    async def test_who_waits_for_a_slow_target_keeps_it(self, world, every_s):
        """Nobody is told twice meanwhile, and the next look is in time."""
        slow = Slow(world.clock)
        first = world.engine("prc_a", slow, every_s=every_s)
        second = world.engine("prc_b", slow, every_s=every_s)
        world.only("unhealthy", lasting=timedelta(0))
        world.board.checks = DOWN
        await first.look()
        slow.meanwhile = second.look
        world.board.checks = WELL
        world.clock.ahead(seconds=every_s)
        await first.look()
        world.clock.ahead(seconds=0.9 * every_s)
        await second.look()

        assert [each[2] for each in slow.got] == ["firing", "resolved"]
        assert slow.attempts == 2
        assert await world.stored.take_turn("prc_a", world.clock(), free_after=NO_DATA)


class Slow(Inbox):
    """Takes all the time that a target has."""

    def __init__(self, clock) -> None:
        super().__init__()
        self._clock = clock
        self.meanwhile = None

    async def tell(self, alerts):
        self._clock.ahead(seconds=WITHIN_S)
        if self.meanwhile is not None:
            await self.meanwhile()
        return await super().tell(alerts)


class TestRestarts:
    async def test_it_goes_on_firing(self, world):
        """Nobody is told twice."""
        inbox = Inbox()
        world.board.checks = DOWN
        await world.pass_time(world.engine("prc_a", inbox), minutes=2)
        await world.pass_time(world.engine("prc_b", inbox), minutes=2)
        world.board.checks = WELL
        await world.pass_time(world.engine("prc_c", inbox), minutes=2)

        assert [each[2] for each in inbox.got] == ["firing", "resolved"]
        assert await world.alerts() == [("unhealthy", "quota", "resolved")]

    async def test_what_was_pending_begins_anew_after_long(self, world):
        """Nobody knows how it was meanwhile."""
        world.board.checks = DOWN
        await world.pass_time(world.engine("prc_a"), seconds=45)
        world.clock.ahead(hours=1)
        engine = world.engine("prc_b")
        await engine.look()
        began = world.clock.now
        assert await world.alerts() == [("unhealthy", "quota", "pending")]
        await world.pass_time(engine, seconds=60)

        (alert,) = await world.stored.page(None, limit=9)
        assert (alert.state, alert.since) == ("firing", began)

    async def test_killed_between_the_change_and_the_message(self, world):
        """Whoever comes next tells it."""
        inbox = Inbox()
        world.board.checks = DOWN
        unlucky = world.engine("prc_a", Deadly())
        with pytest.raises(asyncio.CancelledError):
            await world.pass_time(unlucky, minutes=5)
        assert await world.alerts() == [("unhealthy", "quota", "firing")]

        await world.pass_time(world.engine("prc_b", inbox), minutes=1)
        assert inbox.got == [("unhealthy", "quota", "firing")]

    async def test_killed_between_the_message_and_its_mark(self, world):
        """It is told again: at least once."""
        inbox = Inbox()
        engine = world.engine("prc_a", inbox)
        world.board.checks = DOWN
        await world.pass_time(engine, seconds=60)
        world.stored.mark_told = _killed
        with pytest.raises(asyncio.CancelledError):
            await world.pass_time(engine, seconds=EVERY_S)
        del world.stored.mark_told
        await world.pass_time(world.engine("prc_b", inbox), minutes=1)

        assert inbox.got == 2 * [("unhealthy", "quota", "firing")]


class Deadly(Inbox):
    async def tell(self, alerts):
        await _killed()


async def _killed(*_):
    raise asyncio.CancelledError


class TestMissingReadings:
    async def test_it_neither_fires_nor_resolves_for_five_minutes(self, world):
        engine = world.engine()
        world.board.checks = DOWN
        await world.pass_time(engine, seconds=45)
        await gone(world)
        await world.pass_time(engine, minutes=5)
        assert await world.alerts() == [("unhealthy", "quota", "pending")]

        await world.pass_time(engine, seconds=EVERY_S)
        assert await world.alerts() == []

    async def test_one_that_fires_resolves_after_that(self, world):
        """And says why."""
        engine = world.engine()
        world.board.checks = DOWN
        await world.pass_time(engine, seconds=75)
        await gone(world)
        await world.pass_time(engine, seconds=NO_DATA.total_seconds())
        assert await world.alerts() == [("unhealthy", "quota", "firing")]

        await world.pass_time(engine, seconds=EVERY_S)
        (alert,) = await world.stored.page(None, limit=9)
        assert (alert.state, alert.reason, alert.value) == ("resolved", "no_data", 2)

    async def test_a_signal_that_fails_leaves_the_others_alone(self, world):
        """Its own alerts stand."""
        world.only("unhealthy", lasting=timedelta(0))
        world.rules.all += (_rule(world, "accuracy"),)
        engine = world.engine()
        await world.results(30, predicted="rose", expected="daisy")

        world.board.read = broken
        await engine.look()

        assert await world.alerts() == [("accuracy", "flowers", "firing")]
        assert [each.readings is None for each in await engine.now()] == [True, False]

    async def test_what_cannot_be_read_resolves_nothing(self, world):
        """However long: to be unable to look is not to see that it is over."""
        engine = world.engine()
        world.board.checks = DOWN
        await world.pass_time(engine, seconds=75)
        read, world.board.read = world.board.read, broken
        await world.pass_time(engine, seconds=3 * NO_DATA.total_seconds())
        unread = await world.alerts()
        world.board.read = read
        world.board.checks = WELL
        await world.pass_time(engine, seconds=EVERY_S)

        assert unread == [("unhealthy", "quota", "firing")]
        (alert,) = await world.stored.page(None, limit=9)
        assert (alert.state, alert.reason) == ("resolved", None)

    async def test_a_database_that_is_gone_changes_nothing(self, world):
        engine = world.engine()
        world.board.checks = DOWN
        await world.pass_time(engine, seconds=75)
        world.database.fails = True
        world.board.checks = WELL
        with pytest.raises(StorageUnavailable):
            await world.pass_time(engine, seconds=EVERY_S)
        world.database.fails = False

        assert await world.alerts() == [("unhealthy", "quota", "firing")]


async def broken():
    raise ValueError("broken")


class TestClocks:
    """What was seen by one that was a day ahead."""

    async def test_what_was_pending_begins_anew(self, world):
        engine = world.engine()
        world.clock.ahead(days=1)
        world.board.checks = DOWN
        await engine.look()
        world.clock.ahead(days=-1)
        await world.pass_time(engine, seconds=60 + EVERY_S)

        (alert,) = await world.stored.page(None, limit=9)
        assert alert.state == "firing"
        assert alert.since <= alert.fired_at == world.clock.now

    async def test_what_fires_does_not_wait_a_day_for_data(self, world):
        engine = world.engine()
        world.clock.ahead(days=1)
        world.board.checks = DOWN
        await world.pass_time(engine, seconds=75)
        world.clock.ahead(days=-1)
        await gone(world)
        await world.pass_time(engine, seconds=NO_DATA.total_seconds())
        assert await world.alerts() == [("unhealthy", "quota", "firing")]

        await world.pass_time(engine, seconds=2 * EVERY_S)
        (alert,) = await world.stored.page(None, limit=9)
        assert (alert.state, alert.reason) == ("resolved", "no_data")

    async def test_its_results_are_in_no_window(self, world):
        """Those of this very minute are."""
        world.rules.all = (_rule(world, "error_rate"),)
        engine = world.engine()
        await world.results(100, failed=True, ago=-timedelta(days=1))
        await world.results(50)
        (told,) = await engine.now()

        assert {name: (each.value, each.samples) for name, each in told.readings.items()} == {
            "flowers": (0, 50)
        }


def _rule(world, name):
    everything = World(world.database).rules.all
    return next(each for each in everything if each.name == name)


class TestRules:
    async def test_an_alert_ends_with_its_rule(self, world):
        engine = world.engine()
        world.board.checks = DOWN
        await world.pass_time(engine, seconds=75)
        world.rules.all = ()
        await world.pass_time(engine, seconds=EVERY_S)

        (alert,) = await world.stored.page(None, limit=9)
        assert (alert.state, alert.reason) == ("resolved", "rule_removed")

    async def test_it_may_fire_again(self, world):
        """As an alert of its own."""
        engine = world.engine()
        for checks in (DOWN, WELL, DOWN):
            world.board.checks = checks
            await world.pass_time(engine, minutes=2)

        assert [each[2] for each in await world.alerts()] == ["firing", "resolved"]

    async def test_a_short_trouble_is_none(self, world):
        engine = world.engine()
        for _ in range(5):
            world.board.checks = DOWN
            await world.pass_time(engine, seconds=60)
            world.board.checks = WELL
            await world.pass_time(engine, seconds=EVERY_S)

        assert await world.alerts() == []


class TestTelling:
    async def test_who_does_not_take_it_is_told_again(self, world):
        """Others are not told twice meanwhile."""
        slow, quick = Inbox("slow"), Inbox("quick")
        slow.takes = False
        engine = world.engine("prc_a", slow, quick)
        world.board.checks = DOWN
        await world.pass_time(engine, minutes=3)
        assert (slow.attempts, slow.got) == (8, [])

        slow.takes = True
        await world.pass_time(engine, minutes=1)
        assert slow.got == quick.got == [("unhealthy", "quota", "firing")]
        assert quick.attempts == 1

    async def test_what_is_a_day_old_is_told_nobody(self, world):
        inbox = Inbox()
        inbox.takes = False
        engine = world.engine("prc_a", inbox)
        world.board.checks = DOWN
        await world.pass_time(engine, minutes=2)
        world.clock.ahead(days=1)
        await engine.look()
        attempts = inbox.attempts
        await world.pass_time(engine, minutes=1)

        assert inbox.attempts == attempts
        assert await world.alerts("firing")

    async def test_metrics_count_what_stands(self, world):
        """In the process that does not evaluate, too."""
        first, second = world.engine("prc_a"), world.engine("prc_b")
        world.board.checks = {"storage": False, "quota": False}
        await world.pass_time(first, second, seconds=75)

        def gauge(state: str) -> float:
            labels = {"rule": "unhealthy", "severity": "critical", "state": state}
            return world.metrics.registry.get_sample_value("classifier_alerts", labels)

        assert (gauge("firing"), gauge("pending")) == (2, 0)
        world.board.checks = WELL
        await world.pass_time(first, second, seconds=EVERY_S)
        assert (gauge("firing"), gauge("pending")) == (0, 0)

    async def test_drift_is_measured_by_whoever_evaluates(self, world):
        """With as many answers as the rule wants: Prometheus does not see how many there are."""
        world.rules.all = (_rule(world, "drift"),)
        engine = world.engine()

        def told() -> float | None:
            labels = {"domain": "flowers", "of": "classes"}
            return world.metrics.registry.get_sample_value("classifier_drift", labels)

        await world.results(500, ago=timedelta(days=7))
        await world.results(199, predicted="daisy")
        await engine.look()
        assert (told(), await world.alerts()) == (None, [])

        await world.results(1, predicted="daisy")
        await engine.look()
        assert told() == pytest.approx((await world.stored.standing())[0].value)
