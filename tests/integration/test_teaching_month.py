"""A month in which reviews teach: what is taught becomes better, and an hour of wrong reviews does
it no harm."""

import dataclasses
import threading
from collections.abc import Iterable
from functools import cache
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from app.domains import Domain
from app.images import PreparedImage, Upload, prepare
from app.main import create_app
from app.parts import Parts
from app.providers.local.head import Head
from app.result import NONE
from app.settings_groups import ReviewSettings, TeachingSettings
from app.storage.audit import COMMAND_LINE
from app.storage.tables import examples
from app.storage.turns import Turns
from app.teaching import LOOKED_EVERY_S, FromReviews
from tests.clock import Clock
from tests.integration.calls import api_keys
from tests.teaching import KINDS, picture

PATTERNS = Domain(name="patterns", classes=KINDS)
WRONG = dict(zip(KINDS, (*KINDS[1:], KINDS[0]), strict=True))
"""What each kind is called in the poisoned hour."""


@pytest.fixture
def settings(settings):
    """A test looks itself; the picture of every answer is kept for a person."""
    return settings.model_copy(
        update={
            "teaching": TeachingSettings(automatic=False, after=12),
            "review": ReviewSettings(random_share=1),
        }
    )


def veiled(kind: str, seed: int) -> bytes:
    """Some are hard to tell apart."""
    return picture(kind, seed, veil=0.5 + 0.06 * (seed % 5))


@cache
def held_out() -> list[tuple[str, PreparedImage]]:
    return [
        (kind, prepare(veiled(kind, seed), longest=PATTERNS.image_size))
        for kind in KINDS
        for seed in range(500, 515)
    ]


class Month:
    """Through the service's own doors.

    Attributes:
        seeds: of pictures that nobody has seen yet.
    """

    def __init__(self, parts: Parts, client: httpx2.AsyncClient, clock: Clock) -> None:
        self.parts = parts
        self.client = client
        self.clock = clock
        self.seeds = iter(range(1_000, 10_000))

    async def give(self, per_class: int) -> None:
        for kind in KINDS:
            for seed in range(per_class):
                seen = await self.parts.collecting.see(Upload(veiled(kind, seed)), PATTERNS)
                await self.parts.collecting.keep(PATTERNS, kind, seen, caller="me")

    async def teach(self, per_class: int) -> str:
        await self.give(per_class)
        return (await self.parts.lessons.teach("patterns", by=COMMAND_LINE))[0]

    async def review(self, per_class: int, *, wrongly: bool = False) -> list[str]:
        """Answers, and what somebody says of them, at once; the answers' ids."""
        return [
            await self.reviewed(kind, WRONG[kind] if wrongly else kind)
            for kind in KINDS
            for _ in range(per_class)
        ]

    async def reviewed(self, kind: str, label: str) -> str:
        data = veiled(kind, next(self.seeds))
        form = {"domain": "patterns", "provider": "local"}
        asked = await self.client.post("/classify", data=form, files={"file": data})
        assert asked.status_code == 200, asked.text
        await self.say(asked.json(), label)
        return asked.json()["id"]

    async def say(self, result: dict[str, Any], label: str) -> None:
        agrees = (result["predicted_class"] or NONE) == label
        said = {"action": "confirm"} if agrees else {"action": "correct", "label": label}
        await self.step(result["id"], **said)

    async def step(self, result_id: str, **said: str) -> None:
        answered = await self.client.post(
            f"/reviews/{result_id}", json={"reviewer": "anna", **said}
        )
        assert answered.status_code == 200, answered.text

    async def correct(self, ids: Iterable[str]) -> None:
        """Anna looks again, and says what is right."""
        right = {wrong: kind for kind, wrong in WRONG.items()}
        for result_id in ids:
            result = (await self.client.get(f"/results/{result_id}")).json()
            await self.step(result_id, action="reopen")
            await self.say(result, right[result["expected"]])

    async def look(self) -> None:
        """As every minute."""
        self.clock.ahead(minutes=1)
        await self.parts.from_reviews.look()
        await self.parts.alerting.look()

    async def accuracy(self) -> float:
        """On pictures that nobody is taught with."""
        model = await self.parts.collecting.model()
        said = [
            (kind, await model.classify(image, PATTERNS, timeout=1)) for kind, image in held_out()
        ]
        return sum(answer.label == kind for kind, answer in said) / len(said)

    async def alerts(self) -> list[tuple[str, str]]:
        rows = await self.parts.alerting.stored.page(None, limit=10)
        return [(each.subject, each.state) for each in rows if each.rule == "lesson_refused"]

    async def states(self) -> list[str]:
        """Of lessons, the newest first."""
        return [
            "refused" if each.row.reason else "in_force" if each.in_force else "before"
            for each in await self.parts.lessons.versions("patterns")
        ]


@pytest.fixture
async def month(clock, parts, client):
    await parts.domains.create(PATTERNS, by=COMMAND_LINE)
    return Month(parts, client, clock)


async def test_a_month_of_reviews(month, client):
    await month.teach(per_class=2)
    accuracies = [await month.accuracy()]

    for _ in range(3):
        month.clock.ahead(days=9)
        await month.review(per_class=4)
        await month.look()
    accuracies.append(await month.accuracy())
    before = (await client.get("/domains/patterns/lessons")).json()["lessons"]
    poisoned = await month.review(per_class=6, wrongly=True)
    await month.look()
    after = (await client.get("/domains/patterns/lessons")).json()["lessons"]
    aside = (await client.get("/domains/patterns/examples", params={"set_aside": True})).json()
    accuracies.append(await month.accuracy())
    fired = await month.alerts()
    await month.correct(poisoned)
    await month.look()
    mended, resolved = await month.states(), await month.alerts()
    accuracies.append(await month.accuracy())

    assert [each["cause"] for each in before] == ["reviews"] * 3 + ["taught"]
    at_first, after_reviews, when_refused, when_mended = accuracies
    assert after_reviews > at_first + 0.05
    assert when_refused == after_reviews
    assert when_mended >= after_reviews - 0.05
    assert [each["state"] for each in after[:2]] == ["refused", "in_force"]
    assert after[1]["id"] == before[0]["id"]
    assert aside["set_aside"] == len(aside["examples"]) == 18
    assert {each["set_aside"] for each in aside["examples"]} == {after[0]["reason"]}
    assert fired == [("patterns", "firing")]
    assert mended == ["in_force", "refused", "before", "before", "before", "before"]
    assert resolved == [("patterns", "resolved")]


async def test_what_is_taken_back_is_not_learned(month):
    """And what was learned from it is forgotten."""
    await month.teach(per_class=2)
    first, *_ = await month.review(per_class=1)
    await month.look()
    known = await month.parts.examples.counts("patterns")

    await month.step(first, action="reopen")
    await month.look()

    assert known == dict.fromkeys(sorted(KINDS), 3)
    assert sum((await month.parts.examples.counts("patterns")).values()) == 8


async def test_an_example_that_was_forgotten_does_not_come_back(month):
    await month.teach(per_class=2)
    await month.review(per_class=1)
    await month.look()
    newest, *_ = await month.parts.examples.page("patterns", limit=1)
    await month.parts.examples.delete("patterns", newest.id, by=COMMAND_LINE)

    await month.look()

    assert newest.source == "review"
    assert sum((await month.parts.examples.counts("patterns")).values()) == 8


async def test_operators_answer_for_what_was_set_aside(month, client):
    """Taken, it is learned from; forgotten, it is gone."""
    await month.teach(per_class=4)
    aside = []
    for wanted in ("forget", "take"):
        await month.review(per_class=5, wrongly=True)
        await month.look()
        aside.append((await month.parts.examples.aside())["patterns"])
        answered = await client.post("/domains/patterns/lessons", json={"set_aside": wanted})
        aside.append((await month.parts.examples.aside())["patterns"])
        aside.append(answered.json()["examples"])

    assert aside == [15, 0, 12, 15, 0, 27]


async def test_an_answer_that_is_deleted_takes_its_example_with_it(month, client):
    await month.teach(per_class=2)
    (first, *_) = await month.review(per_class=1)
    await month.look()

    await client.delete(f"/results/{first}")

    rows = await month.parts.database.read(
        lambda each: each.execute(sa.select(examples.c.result_id)).scalars().all()
    )
    assert len(rows) == 8
    assert first not in rows


async def test_only_one_process_learns_at_a_time(month):
    """Another takes over when it is gone."""
    await month.teach(per_class=2)
    await month.look()
    other = FromReviews(
        month.parts.examples,
        month.parts.collecting,
        month.parts.lessons,
        month.parts.domains,
        month.parts.settings.teaching,
        turns=Turns(
            month.parts.database,
            "lessons",
            "prc_other",
            every_s=LOOKED_EVERY_S,
            clock=month.clock,
        ),
        clock=month.clock,
    )
    await month.review(per_class=1)

    await other.look()
    at_once = sum((await month.parts.examples.counts("patterns")).values())
    month.clock.ahead(minutes=3)
    await other.look()

    assert at_once == 6
    assert sum((await month.parts.examples.counts("patterns")).values()) == 9


async def test_a_withdrawn_lesson_does_not_come_back_by_itself(month):
    """Only when there is as much new besides."""
    first = await month.teach(per_class=6)
    month.clock.ahead(days=1)
    await month.review(per_class=4)
    await month.look()
    (second, *_) = await month.parts.lessons.versions("patterns")

    await month.parts.lessons.withdraw("patterns", second.row.id, by=COMMAND_LINE)
    await month.look()
    at_once = await month.states()
    await month.review(per_class=4)
    await month.look()

    assert second.row.id != first
    assert at_once == ["before", "in_force"]
    assert await month.states() == ["in_force", "before", "before"]


async def test_a_single_example_of_something_new_waits_for_a_second(month):
    """With it nobody could say how good the lesson is, and no answer would be sure enough."""
    await month.teach(per_class=6)
    scores, none = [], []
    for _ in range(2):
        month.clock.ahead(days=1)
        await month.review(per_class=4)
        await month.reviewed("discs", "none")
        await month.look()
        (newest, *_) = await month.parts.lessons.versions("patterns")
        scores.append(newest.row.score)
        none.append(newest.report.none_examples)

    assert None not in scores
    assert none == [0, 2]


async def test_reviews_do_not_change_what_operators_gave(month):
    """Wrong ones would take it away, and so would taking them back."""
    await month.teach(per_class=4)
    month.seeds = iter([0, 1, 2, 3])
    told = [await month.reviewed("discs", "checks") for _ in range(4)]
    await month.look()
    known = await month.parts.examples.counts("patterns")

    for each in told:
        await month.step(each, action="reopen")
    await month.look()

    assert known == await month.parts.examples.counts("patterns") == dict.fromkeys(KINDS, 4)
    assert await month.states() == ["in_force"]


@pytest.mark.each_database
async def test_an_answer_that_is_deleted_meanwhile_is_not_learned(month):
    await month.teach(per_class=1)
    deleted = await month.reviewed("discs", "discs")
    (reviewed,) = await month.parts.examples.reviewed(["patterns"], limit=10)
    (row, *_) = await month.parts.examples.page("patterns", limit=1)
    row = dataclasses.replace(row, id="exm_1", sha256="f" * 64, source="review", result_id=deleted)

    await month.parts.erasing.result(deleted, caller=None, by=COMMAND_LINE)
    await month.parts.examples.learn(reviewed, row)

    assert sum((await month.parts.examples.counts("patterns")).values()) == 3


async def test_whose_answers_they_were_is_told_to_operators_only(month, settings):
    """Another caller's answers are nobody's business, and who reviewed them."""
    await month.teach(per_class=1)
    await month.review(per_class=1)
    await month.look()
    settings = settings.model_copy(update={"api_keys": api_keys(boss=True, shop=False)})
    app = create_app(dataclasses.replace(month.parts, settings=settings))
    told = {}
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://service"
    ) as client:
        for name in ("boss", "shop"):
            headers = {"authorization": f"Bearer {name}"}
            found = await client.get("/domains/patterns/examples", headers=headers)
            told[name] = [(each["by"], each["result_id"]) for each in found.json()["examples"]]

    assert {by for by, _ in told["boss"]} == {"me", "anna"}
    assert set(told["shop"]) == {(None, None)}


async def test_nobody_waits_while_a_lesson_is_written_down(month, monkeypatch):
    """Of many classes and examples that takes a fifth of a second."""
    await month.give(per_class=2)
    threads, written = [], Head.to_json

    def writing(head, *args):
        threads.append(threading.current_thread())
        return written(head, *args)

    monkeypatch.setattr(Head, "to_json", writing)
    await month.parts.lessons.teach("patterns", by=COMMAND_LINE)

    assert threads
    assert threading.current_thread() not in threads
