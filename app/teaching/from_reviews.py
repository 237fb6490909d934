"""Turns reviews into examples and teaches new heads with them, unless they make a head worse."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
import structlog

from app.domains import ACCURACY, Domain, DomainRegistry
from app.errors import ClassifierError, DomainNotFound, StorageUnavailable, TooFewExamples
from app.providers.local.head import Head
from app.result import NONE
from app.settings_groups import TeachingSettings
from app.storage import ExampleRepository, ExampleRow, LessonRow
from app.storage.examples import ReviewedPicture
from app.storage.turns import Turns
from app.teaching.collecting import Collecting
from app.teaching.judging import Verdict, judge
from app.teaching.lessons import Lessons, examples_of

log = structlog.stdlib.get_logger(__name__)

LOOKED_EVERY_S = 60.0
AT_ONCE = 100
"""Reviews that are read at once."""


class FromReviews:
    def __init__(
        self,
        stored: ExampleRepository,
        collecting: Collecting,
        lessons: Lessons,
        domains: DomainRegistry,
        settings: TeachingSettings,
        *,
        turns: Turns,
        clock: Callable[[], datetime],
    ) -> None:
        self._stored = stored
        self._collecting = collecting
        self._lessons = lessons
        self._domains = domains
        self._settings = settings
        self._turns = turns
        self._clock = clock

    async def look(self) -> None:
        """Take the reviews made since the last look, and teach the domains with enough new
        examples, if it is this process's turn. Raises StorageUnavailable."""
        if not await self._turns.is_mine():
            return
        await self._lessons.load()
        learning = self._lessons.domains | await self._stored.domains()
        await self._take(sorted(learning))
        for name in sorted(self._lessons.domains):
            lesson = self._lessons.in_force(name)
            if lesson is not None:
                await self._teach(lesson)

    async def _take(self, domains: Sequence[str]) -> None:
        while reviewed := await self._stored.reviewed(domains, limit=AT_ONCE):
            for each in reviewed:
                await self._stored.learn(each, await self._example(each))

    async def _example(self, reviewed: ReviewedPicture) -> ExampleRow | None:
        if reviewed.label is None or reviewed.picture is None or reviewed.sha256 is None:
            return None
        try:
            domain = await self._domains.find(reviewed.domain)
            if reviewed.label not in domain.truths:
                return None
            return await self._collecting.row_of(
                reviewed.picture,
                domain,
                reviewed.label,
                reviewed.sha256,
                caller=reviewed.reviewer or "",
                result_id=reviewed.result_id,
            )
        except StorageUnavailable:
            raise
        except ClassifierError as error:
            log.warning("no example", result=reviewed.result_id, reason=str(error))
            return None

    async def _teach(self, lesson: LessonRow) -> None:
        if await self._stored.count_new(lesson.domain) < self._settings.after:
            return
        try:
            domain, began = await self._domains.find(lesson.domain), self._clock()
            rows = await self._collecting.to_learn(domain)
            head = await asyncio.to_thread(Head.parse, lesson.head)
            rows = _told_apart(rows, head)
            new = [row for row in rows if _is_new(row, lesson)]
            verdict = await asyncio.to_thread(_judged, domain, rows, new, head)
            if verdict is not None and (objection := verdict.objection) is not None:
                await self._lessons.refuse(domain.name, new, objection, verdict.after)
                return
            await self._lessons.add(domain, rows, accuracy=ACCURACY, cause="reviews", began=began)
        except (DomainNotFound, TooFewExamples) as error:
            log.warning("no new lesson", domain=lesson.domain, reason=str(error))


def _is_new(row: ExampleRow, lesson: LessonRow) -> bool:
    """Examples from operators are trusted, and count as known before."""
    return row.source == "review" and row.created_at > lesson.created_at


def _told_apart(rows: Sequence[ExampleRow], head: Head) -> list[ExampleRow]:
    """Leaves out an example that is the only one of its class, if the head in force does not know
    the class: with one example, none can be held out, and the confidence from which answers are
    right could not be measured."""
    counts = Counter(row.label for row in rows)
    known = {*head.labels, NONE} if len(head.bias) > len(head.labels) else set(head.labels)
    return [row for row in rows if row.label in known or counts[row.label] > 1]


def _judged(
    domain: Domain, rows: Sequence[ExampleRow], new: Sequence[ExampleRow], head: Head
) -> Verdict | None:
    """None: there are no known examples to judge by, or no new ones."""
    rows = [row for row in rows if row.label in domain.truths]
    ids = {row.id for row in new}
    is_new = np.array([row.id in ids for row in rows], bool)
    if is_new.all() or not is_new.any():
        return None
    examples = examples_of(domain, rows)
    return judge(examples.at(~is_new), examples.at(is_new), head)
