"""One call for all who want to know the same, and who is told what when some go away."""

import asyncio
import time

import pytest
from PIL import Image

from app.budget import Payer
from app.classification.asking import Asking
from app.domains import Domain
from app.errors import Interrupted, ProviderUnavailable
from app.images import prepare
from app.traffic import Spent
from app.usage import TokenUsage
from tests.fakes import answer
from tests.pictures import encoded

IMAGE = prepare(encoded(Image.new("RGB", (8, 8))), longest=8)
USAGE = TokenUsage(100, 2)


class Calls:
    """Stands in for what elicits answers: answers, or fails, when it is let.

    Attributes:
        began: names and retries of each call.
        stopped: how many calls were stopped.
        hold: calls wait while it is cleared.
        let_stop: calls that are stopped wait while it is cleared.
    """

    def __init__(self) -> None:
        self.began: list[tuple[tuple[str, ...], int | None]] = []
        self.stopped = 0
        self.hold = asyncio.Event()
        self.hold.set()
        self.let_stop = asyncio.Event()
        self.let_stop.set()
        self.failure: Exception | None = None

    async def elicit(self, names, case):
        self.began.append((tuple(names), case.domain.max_retries))
        case.spent.calls += 1
        case.spent.usage += USAGE
        try:
            await self.hold.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            await self.let_stop.wait()
            raise
        if self.failure:
            raise self.failure
        return answer("rose")


@pytest.fixture
async def calls() -> Calls:
    return Calls()


@pytest.fixture
def asking(calls) -> Asking:
    return Asking(calls, joinable_s=60)


def ask(asking: Asking, *names: str, key="picture", max_retries=None, looked_at=None):
    domain = Domain(name="flowers", classes=("rose", "daisy"), max_retries=max_retries)
    return asking.ask(
        names or ("fake",), IMAGE, domain, key=key, payer=Payer("test"), looked_at=looked_at
    )


async def turns() -> None:
    """Let all that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def started(calls: Calls, *questions) -> list[asyncio.Task]:
    """All under way, and none answered."""
    calls.hold.clear()
    tasks = [asyncio.create_task(each) for each in questions]
    await turns()
    return tasks


async def test_the_same_at_the_same_time_is_one_call_that_one_pays(asking, calls):
    tasks = await started(calls, *(ask(asking) for _ in range(3)))
    calls.hold.set()
    asked = await asyncio.gather(*tasks)

    assert len(calls.began) == 1
    assert [each.again for each in asked] == [False, True, True]
    assert [each.spent.usage for each in asked] == [USAGE, TokenUsage(), TokenUsage()]
    assert {each.outcome.label for each in asked} == {"rose"}


@pytest.mark.parametrize(
    "other",
    [
        {"key": "another"},
        {"max_retries": 0},
        {"names": ("fake", "second")},
        {"names": ("second",)},
    ],
    ids=str,
)
async def test_another_question_is_a_call_of_its_own(asking, calls, other):
    """Of another picture, in another domain, or to others, or with another patience: whoever
    insists less must not wait for whoever insists more."""
    names = other.pop("names", ())
    tasks = await started(calls, ask(asking), ask(asking, *names, **other))
    calls.hold.set()
    asked = await asyncio.gather(*tasks)

    assert len(calls.began) == 2
    assert not any(each.again for each in asked)


async def test_who_asks_alone_shares_nothing(asking, calls):
    tasks = await started(calls, *(ask(asking, key=None) for _ in range(2)))
    calls.hold.set()
    asked = await asyncio.gather(*tasks)

    assert len(calls.began) == 2
    assert [each.spent.usage for each in asked] == [USAGE, USAGE]


@pytest.mark.parametrize(("joinable_s", "count"), [(0, 2), (60, 1)])
async def test_a_call_that_may_soon_run_out_of_time_is_not_joined(calls, joinable_s, count):
    asking = Asking(calls, joinable_s=joinable_s)
    tasks = await started(calls, ask(asking), ask(asking))
    calls.hold.set()
    asked = await asyncio.gather(*tasks)

    assert len(calls.began) == count
    assert sum(each.again for each in asked) == 2 - count


async def test_the_end_of_an_older_call_leaves_the_newer_one(calls):
    """It is still there for others, however the older one ends."""
    asking = Asking(calls, joinable_s=0)
    looked_at = time.monotonic()
    older, newer = await started(calls, ask(asking), ask(asking))
    older.cancel()
    await older
    calls.hold.set()
    await newer

    assert (await ask(asking, looked_at=looked_at)).again


class TestHeld:
    """An answer, until it is found where answers are kept."""

    async def test_who_looked_before_it_was_kept_takes_it(self, asking, calls):
        """While it is being stored, and also afterwards: they looked too early to find it."""
        looked_at = time.monotonic()
        first = await ask(asking)
        while_stored = await ask(asking, looked_at=time.monotonic())
        first.settled()
        afterwards = await ask(asking, looked_at=looked_at)

        assert len(calls.began) == 1
        for each in (while_stored, afterwards):
            assert each.again
            assert each.outcome.label == "rose"
            assert each.spent.usage == TokenUsage()

    async def test_who_looked_later_asks_anew(self, asking, calls):
        """What was kept did not do, or it would have been found."""
        first = await ask(asking)
        first.settled()
        second = await ask(asking, looked_at=time.monotonic())

        assert len(calls.began) == 2
        assert not second.again
        assert second.spent.usage == USAGE

    async def test_the_newer_call_counts(self, asking, calls):
        first = await ask(asking)
        first.settled()
        looked_at = time.monotonic()
        await ask(asking, looked_at=looked_at)
        third = await ask(asking, looked_at=looked_at)

        assert len(calls.began) == 2
        assert third.again

    async def test_who_takes_it_over_does_not_settle_it(self, asking, calls):
        """The row that it was paid for does."""
        await ask(asking)
        again = await ask(asking, looked_at=time.monotonic())
        again.settled()

        assert (await ask(asking, looked_at=time.monotonic())).again

    async def test_who_did_not_look_asks_anew(self, asking, calls):
        """Where nothing is kept nobody wants an earlier answer."""
        await ask(asking)
        second = await ask(asking)

        assert len(calls.began) == 2
        assert not second.again

    async def test_it_is_not_held_for_ever(self, asking, calls, monkeypatch):
        monkeypatch.setattr("app.classification.asking.HELD_S", 0)
        looked_at = time.monotonic()
        await ask(asking)
        await turns()

        assert not (await ask(asking, looked_at=looked_at)).again

    async def test_only_the_newest_are_held(self, asking, calls, monkeypatch):
        monkeypatch.setattr("app.classification.asking.MOST_HELD", 1)
        looked_at = time.monotonic()
        await ask(asking, key="first")
        await ask(asking, key="second")
        await turns()

        assert not (await ask(asking, key="first", looked_at=looked_at)).again
        assert len(calls.began) == 3

    async def test_a_failure_is_not_held(self, asking, calls):
        looked_at = time.monotonic()
        calls.failure = ProviderUnavailable("down")
        failed = await ask(asking)
        await turns()
        calls.failure = None
        second = await ask(asking, looked_at=looked_at)

        assert isinstance(failed.outcome, ProviderUnavailable)
        assert not second.again
        assert second.outcome.label == "rose"


async def test_a_failure_is_told_to_each_for_its_own_row(asking, calls):
    """What is written on one of them is not on the other."""
    calls.failure = ProviderUnavailable("down")
    tasks = await started(calls, ask(asking), ask(asking))
    calls.hold.set()
    first, second = await asyncio.gather(*tasks)
    first.outcome.result_id = "cls_1"

    assert str(second.outcome) == "down"
    assert second.outcome.result_id is None
    assert (first.spent.usage, second.spent.usage) == (USAGE, TokenUsage())


class TestGoingAway:
    @pytest.mark.parametrize("leaves", [0, 1])
    async def test_who_goes_away_stops_nobody_else(self, asking, calls, leaves):
        """And leaves the bill to who stays."""
        tasks = await started(calls, ask(asking), ask(asking))
        tasks[leaves].cancel()
        gone = await tasks[leaves]
        calls.hold.set()
        stayed = await tasks[1 - leaves]

        assert (len(calls.began), calls.stopped) == (1, 0)
        assert isinstance(gone.outcome, Interrupted)
        assert gone.spent == Spent()
        assert stayed.outcome.label == "rose"
        assert stayed.spent.usage == USAGE

    async def test_a_call_that_nobody_waits_for_is_stopped(self, asking, calls):
        """What it has cost is told to the last one; who comes then begins anew."""
        tasks = await started(calls, ask(asking), ask(asking))
        tasks[0].cancel()
        await turns()
        tasks[1].cancel()
        first, last = await asyncio.gather(*tasks)
        stopped = calls.stopped
        calls.hold.set()
        later = await ask(asking, looked_at=time.monotonic())

        assert stopped == 1
        assert isinstance(last.outcome, Interrupted)
        assert (first.spent.usage, last.spent.usage) == (TokenUsage(), USAGE)
        assert not later.again
        assert later.outcome.label == "rose"

    async def test_a_call_that_is_being_stopped_is_not_joined(self, asking, calls):
        calls.let_stop.clear()
        (gone,) = await started(calls, ask(asking))
        gone.cancel()
        await turns()
        calls.hold.set()
        later = await ask(asking)
        calls.let_stop.set()
        await gone

        assert not later.again
        assert later.outcome.label == "rose"

    async def test_a_call_asked_alone_is_stopped_too(self, asking, calls):
        (task,) = await started(calls, ask(asking, key=None))
        task.cancel()
        gone = await task

        assert calls.stopped == 1
        assert gone.spent.usage == USAGE

    async def test_who_goes_away_when_another_one_has_paid_is_not_billed(self, asking, calls):
        """Just when the answer is there: one row carries its cost, not two; and it is still held
        for others."""

        async def first():
            asked = await ask(asking)
            tasks[1].cancel()
            return asked

        tasks = await started(calls, first(), ask(asking))
        calls.hold.set()
        paid, gone = await asyncio.gather(*tasks)

        assert isinstance(gone.outcome, Interrupted)
        assert (paid.spent.usage, gone.spent.usage) == (USAGE, TokenUsage())
        assert (await ask(asking, looked_at=time.monotonic())).again
