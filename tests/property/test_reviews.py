"""Whoever claims, decides, skips, undoes and dies, in whatever order: no answer is decided twice,
none is given to two at once, and none is lost."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import NotAllowed, NothingToReview, ReviewDecided, ReviewTaken
from app.identifiers import RESULT, new_id
from app.result import Result
from app.reviews.deciding import Decision, change_of
from app.storage import (
    Outbox,
    ResultRepository,
    ReviewChanges,
    Reviewer,
    ReviewRepository,
    ToReview,
    queueing,
)
from app.storage.tables import results, review_steps, reviews, tally_news
from tests.inline_database import Inline

START = datetime(2026, 3, 1, tzinfo=UTC)
CLAIM = timedelta(seconds=60)
NAMES = ("ada", "bob", "eve")
LAST = "zoe"
DATABASE = Inline()
ACTIONS = ("confirm", "correct", "reject", "skip", "reopen")


@dataclass(frozen=True)
class Act:
    """What `who` does, `after` seconds: takes so many, or says something of what was taken."""

    who: str
    after: int
    takes: int
    says: str
    which: int


acts = st.builds(
    Act,
    st.sampled_from(NAMES),
    st.integers(0, 90),
    st.integers(0, 4),
    st.sampled_from(ACTIONS),
    st.integers(0, 3),
)
answers = st.lists(
    st.tuples(st.sampled_from(["unsure", "random"]), st.sampled_from("ab")), min_size=1, max_size=8
)
"""And the picture: what is said of one holds for those with the same."""


class World:
    def __init__(self, database: Inline, seed: int) -> None:
        outbox = Outbox(database, None)
        self.rows = ReviewRepository(database)
        self.changes = ReviewChanges(database, outbox)
        self.results = ResultRepository(database, outbox)
        self.random = Random(seed)
        self.now = START
        self.ids: list[str] = []

    async def fill(self, waiting) -> None:
        for kind, picture in waiting:
            result = Result(
                id=new_id(RESULT),
                domain="flowers",
                predicted_class=self.random.choice(["rose", "daisy"]),
                confidence=0.5,
                status="needs_review" if kind == "unsure" else "accepted",
                caller="anonymous",
                domain_version="1",
                created_at=START,
            )
            name = f"{picture}{len(self.ids)}" if self.random.random() < 0.5 else picture
            waits = ToReview(result.id, result.status, kind, 1, self.random.random(), name)
            await self.results.insert(result, queueing([waits]))
            self.ids.append(result.id)

    async def take(self, who: str, most: int) -> list[str]:
        places = [self.random.choice(["unsure", "random"]) for _ in range(most)]
        before = [await self.rows.get(each) for each in self.ids]
        has = {row.result_id: row.claimed_by for row in before if row.is_claimed(self.now)}
        taken = await self.rows.claim(Reviewer(who), places, until=self.now + CLAIM, now=self.now)
        pictures = Counter(row.picture for row in taken if row.result_id not in has)
        assert all(has.get(row.result_id, who) == who for row in taken)
        assert all((row.state, row.claimed_by) == ("open", who) for row in taken)
        assert len(taken) <= most
        assert max(pictures.values(), default=1) == 1
        return [row.result_id for row in taken]

    async def say(self, who: str, result_id: str, action: str) -> bool:
        before = await self.rows.get(result_id)
        decision = Decision(action, who, "tulip" if action == "correct" else None)
        judge = partial(change_of, decision, now=self.now, claim=CLAIM)
        try:
            reviewed = await self.changes.change(result_id, judge, caller=None)
        except (ReviewTaken, ReviewDecided, NothingToReview, NotAllowed):
            return False
        if reviewed.changed and action == "reopen":
            assert before.reviewer == who
        elif reviewed.changed:
            # Nobody is pushed aside who is looking at it.
            assert before.state == "open"
            assert not before.is_claimed(self.now) or before.claimed_by == who
        return True

    async def check(self) -> None:
        for result_id in self.ids:
            row = await self.rows.get(result_id)
            result = await self.results.get(result_id, caller=None)
            steps = Counter(step.action for step in await self.rows.steps(result_id))
            deciding = sum(steps[each] for each in ("confirm", "correct", "reject"))
            assert deciding - steps["reopen"] == (row.state == "decided")
            assert row.skips == steps["skip"]
            if row.state == "decided":
                assert (result.final_class, result.decided_by) == (row.label, row.reviewer)
            else:
                assert (result.final_class, result.expected, result.decided_by) == (None,) * 3


@given(answers, st.lists(acts, max_size=16), st.integers(0, 2**32))
@settings(max_examples=120, deadline=None)
def test_every_answer_is_decided_once(waiting, schedule, seed):
    async def run() -> None:
        with DATABASE.engine.begin() as connection:
            for table in (results, reviews, review_steps, tally_news):
                connection.execute(table.delete())
        world = World(DATABASE, seed)
        await world.fill(waiting)
        for act in schedule:
            world.now += timedelta(seconds=act.after)
            taken = await world.take(act.who, act.takes)
            known = taken or world.ids
            await world.say(act.who, known[act.which % len(known)], act.says)
        await world.check()
        # Whoever had some is gone; one who stays finds all that is left.
        world.now += 2 * CLAIM
        while left := await world.take(LAST, 3):
            for result_id in left:
                assert await world.say(LAST, result_id, "confirm")
        await world.check()
        assert await world.rows.waiting(caller=None, domain=None) == {"unsure": 0, "random": 0}

    asyncio.run(run())
