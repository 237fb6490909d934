"""Versions of what the local model was taught, and teaching new ones."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import structlog
from pydantic import ValidationError

from app.domains import ACCURACY, Domain, DomainRegistry
from app.errors import TooFewExamples
from app.identifiers import LESSON, new_id
from app.providers.embeddings import from_stored
from app.providers.local.teaching import Examples, Lesson, teach
from app.providers.taught import Taught, TaughtHead
from app.storage import ExampleRepository, ExampleRow, LessonRepository, LessonRow
from app.storage.audit import By
from app.storage.lessons import Cause
from app.storage.versions import Mark
from app.teaching.collecting import Collecting
from app.teaching.report import LessonReport
from app.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger(__name__)

MOST_LISTED = 1_000

SetAside = Literal["leave", "take", "forget"]


@dataclass(frozen=True, slots=True)
class Version:
    """
    Attributes:
        report: None: it can't be read.
        in_force: it is the version that answers.
    """

    row: LessonRow
    report: LessonReport | None
    in_force: bool


class Lessons:
    """Keeps the lessons in force where the provider finds them; changes by other processes arrive
    with the next `load`."""

    def __init__(
        self,
        stored: LessonRepository,
        examples: ExampleRepository,
        collecting: Collecting,
        domains: DomainRegistry,
        taught: Taught,
        metrics: Metrics,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._stored = stored
        self._examples = examples
        self._collecting = collecting
        self._domains = domains
        self._taught = taught
        self._metrics = metrics
        self._clock = clock
        self._mark: Mark | None = None
        self._in_force: dict[str, LessonRow] = {}
        self._teaching = asyncio.Lock()

    async def load(self) -> None:
        """Read what is in force now, if anything changed. Raises StorageUnavailable."""
        self._metrics.examples_aside(await self._examples.aside())
        mark = await self._stored.mark()
        if mark == self._mark:
            return
        rows = await self._stored.in_force()
        self._in_force = {row.domain: row for row in rows}
        self._taught.replace({row.domain: _taught(row) for row in rows})
        self._mark = mark

    def in_force(self, domain: str) -> LessonRow | None:
        """As of the last `load`."""
        return self._in_force.get(domain)

    @property
    def domains(self) -> set[str]:
        """Domains that were taught, as of the last `load`."""
        return set(self._in_force)

    async def versions(self, domain: str) -> list[Version]:
        """Newest first. Raises DomainNotFound, StorageUnavailable."""
        await self._domains.find(domain)
        await self.load()
        current = self._in_force.get(domain)
        return [
            Version(row, _report(row), in_force=current is not None and row.id == current.id)
            for row in await self._stored.of_domain(domain, limit=MOST_LISTED)
        ]

    async def withdraw(self, domain: str, lesson_id: str, *, by: By) -> None:
        """The previous version is in force again. Raises LessonNotFound, StorageUnavailable."""
        await self._stored.withdraw(domain, lesson_id, self._clock(), by=by)
        await self.load()

    async def teach(
        self,
        domain: str,
        *,
        accuracy: float = ACCURACY,
        set_aside: SetAside = "leave",
        by: By,
    ) -> tuple[str, LessonReport]:
        """Teach a new version with all examples; it is in force at once. `set_aside`: what to do
        with the examples set aside. Returns its id. Raises DomainNotFound, TooFewExamples,
        StorageUnavailable."""
        known = await self._domains.find(domain)
        began = self._clock()
        if set_aside == "take":
            await self._examples.take_back(domain, began, by=by)
        elif set_aside == "forget":
            await self._examples.forget_aside(domain, by=by)
        rows = await self._collecting.to_learn(known)
        return await self.add(known, rows, accuracy=accuracy, cause="taught", began=began)

    async def add(
        self,
        domain: Domain,
        rows: Sequence[ExampleRow],
        *,
        accuracy: float,
        cause: Cause,
        began: datetime,
    ) -> tuple[str, LessonReport]:
        """Teach a version with these examples, read at `began`; returns its id. Raises
        TooFewExamples, StorageUnavailable."""
        lesson, report = await self.try_out(domain, rows, accuracy)
        head = await asyncio.to_thread(lesson.head.to_json)
        row = LessonRow(
            id=new_id(LESSON),
            domain=domain.name,
            cause=cause,
            examples=len(rows),
            score=report.accuracy,
            head=head,
            report=report.model_dump_json(),
            created_at=began,
        )
        await self._stored.add(row)
        await self.load()
        log.info(
            "taught",
            id=row.id,
            domain=domain.name,
            cause=cause,
            examples=row.examples,
            score=row.score,
        )
        return row.id, report

    async def refuse(
        self, domain: str, rows: Sequence[ExampleRow], reason: str, score: float | None
    ) -> None:
        """Set these examples aside, and record that in the list of versions. Raises
        StorageUnavailable."""
        now = self._clock()
        await self._examples.set_aside([row.id for row in rows], reason)
        await self._stored.add(
            LessonRow(
                id=new_id(LESSON),
                domain=domain,
                cause="reviews",
                examples=len(rows),
                score=score,
                head="",
                report="{}",
                created_at=now,
                withdrawn_at=now,
                reason=reason,
            )
        )
        await self.load()
        log.error("a lesson is refused", domain=domain, examples=len(rows), reason=reason)

    async def try_out(
        self, domain: Domain, rows: Sequence[ExampleRow], accuracy: float
    ) -> tuple[Lesson, LessonReport]:
        """The lesson these examples would give; nothing is kept. Raises TooFewExamples."""
        examples = examples_of(domain, rows)
        sha256 = (await self._collecting.model()).model_sha256
        async with self._teaching:  # teaching takes a core and some memory
            return await asyncio.to_thread(_teach, domain, examples, sha256, accuracy)


def examples_of(domain: Domain, rows: Sequence[ExampleRow]) -> Examples:
    """Raises TooFewExamples."""
    rows = [row for row in rows if row.label in domain.truths]
    labels = {row.label for row in rows} & set(domain.labels)
    if len(labels) < 2:
        raise TooFewExamples(
            f"{domain.name!r} has examples of {len(labels)} of its classes: two at least are to be "
            "told apart."
        )
    embeddings = from_stored([row.embedding for row in rows])
    return Examples.of(embeddings, [row.label for row in rows])


def _teach(
    domain: Domain, examples: Examples, model_sha256: str, accuracy: float
) -> tuple[Lesson, LessonReport]:
    lesson = teach(examples, model_sha256, accuracy=accuracy)
    return lesson, LessonReport.of(domain, examples, lesson, accuracy)


def _taught(row: LessonRow) -> TaughtHead:
    report = _report(row)
    if report is None:
        return TaughtHead(row.id, row.head)
    return TaughtHead(row.id, row.head, report.threshold, report.wanted)


def _report(row: LessonRow) -> LessonReport | None:
    """None also for a refused lesson."""
    if row.reason is not None:
        return None
    try:
        return LessonReport.model_validate_json(row.report)
    except ValidationError as error:
        log.error("the report of a lesson can't be read", id=row.id, reason=str(error))  # noqa: TRY400
        return None
