"""Versions of what the local model was taught. All SQL for them is here."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from app.errors import LessonNotFound
from app.storage.audit import By
from app.storage.database import Database
from app.storage.tables import lessons
from app.storage.versions import Mark, Versions

Cause = Literal["taught", "reviews"]


@dataclass(frozen=True, slots=True)
class LessonRow:
    """A version. For each domain, the newest version not withdrawn is in force.

    Attributes:
        cause: requested, or started because of reviews.
        examples: how many it was taught with.
        score: the share of examples classified correctly by heads that had not seen them, 0 to 1;
            None where it can't be measured.
        head: what is loaded, as text that is opaque to this module.
        report: JSON.
        created_at: examples after this are new to it.
        reason: why it was withdrawn, unless by request.
    """

    id: str
    domain: str
    cause: Cause
    examples: int
    score: float | None
    head: str
    report: str
    created_at: datetime
    withdrawn_at: datetime | None = None
    reason: str | None = None


KEPT = 50
"""Versions of a domain that are not withdrawn, the newest; older ones are deleted when there is a
new one."""


class LessonRepository:
    """Raises StorageUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._versions = Versions(database, lessons, [_C.domain], withdrawn="lesson.withdrawn")

    async def mark(self) -> Mark:
        return await self._versions.mark()

    async def in_force(self) -> list[LessonRow]:
        """At most one of each domain."""
        return await self._rows(self._versions.in_force())

    async def of_domain(self, domain: str, *, limit: int) -> list[LessonRow]:
        """Newest first, at most `limit`; without their heads."""
        columns = [each for each in lessons.columns if each is not _C.head]
        query = sa.select(*columns, sa.literal("").label("head")).where(_C.domain == domain)
        return await self._rows(query.order_by(_C.id.desc()).limit(limit))

    async def made_at(self, lesson_id: str) -> datetime | None:
        """None: there is no lesson with this id any more."""
        query = sa.select(_C.created_at).where(_C.id == lesson_id)
        return await self._database.scalar(query)

    async def add(self, row: LessonRow) -> None:
        values = {name: getattr(row, name) for name in row.__slots__}
        last = (
            sa.select(_C.id)
            .where(_C.domain == row.domain, _C.withdrawn_at.is_(None))
            .order_by(_C.id.desc())
            .offset(KEPT)
            .limit(1)
            .scalar_subquery()
        )
        old = sa.delete(lessons).where(_C.domain == row.domain, _C.id <= last)

        def unit(connection: sa.Connection) -> None:
            connection.execute(sa.insert(lessons), values)
            connection.execute(old)

        await self._database.write(unit)

    async def withdraw(self, domain: str, lesson_id: str, now: datetime, *, by: By) -> None:
        """Raises LessonNotFound where the domain has no lesson of this id that is not withdrawn."""
        if not await self._versions.withdraw(domain, lesson_id, now, by):
            raise LessonNotFound(
                f"The domain {domain!r} has no lesson {lesson_id} that is not withdrawn."
            )

    async def _rows(self, query: sa.Select[Any]) -> list[LessonRow]:
        return [LessonRow(**row) for row in await self._database.mappings(query)]


_C = lessons.c
