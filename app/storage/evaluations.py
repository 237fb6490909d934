"""Evaluations of answers. All SQL for them is here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from app.errors import EvaluationNotFound
from app.storage.database import Database
from app.storage.seen_by import seen_by
from app.storage.tables import erasures, evaluations


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """
    Attributes:
        report: JSON.
    """

    id: str
    caller: str
    domain: str
    name: str | None
    report: str
    created_at: datetime


class Erased(NamedTuple):
    """Everything of a caller's, up to then."""

    caller: str
    asked_at: datetime


_ERASURES = sa.select(erasures.c.caller, erasures.c.asked_at)
_COLUMNS = tuple(evaluations.c[name] for name in EvaluationRow.__dataclass_fields__)


class EvaluationRepository:
    """`caller` None means an operator, who sees all rows; to other callers, only their own exist.
    Rows are kept until they are deleted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def erased(self) -> frozenset[Erased]:
        """Erasures that have ended, whose data can't be read any more."""
        over = _ERASURES.where(erasures.c.ended_at.is_not(None))
        return frozenset(Erased(**row) for row in await self._database.mappings(over))

    async def insert(self, row: EvaluationRow, outcomes: str, *, erased: frozenset[Erased]) -> bool:
        """`outcomes` is JSON, with which a later evaluation may be compared. `erased`: as read
        before the judged results were. False: another erasure was begun since then, and nothing is
        stored."""
        given = {name: getattr(row, name) for name in EvaluationRow.__dataclass_fields__}
        given["outcomes"] = outcomes
        insert = sa.insert(evaluations).values(given)
        away = sa.delete(evaluations).where(evaluations.c.id == row.id)

        def unit(connection: sa.Connection) -> bool:
            connection.execute(insert)
            if {Erased(*each) for each in connection.execute(_ERASURES)} <= erased:
                return True
            connection.execute(away)
            return False

        return await self._database.write(unit)

    async def get(self, evaluation_id: str, *, caller: str | None) -> EvaluationRow:
        """Raises EvaluationNotFound."""
        query = sa.select(*_COLUMNS).where(evaluations.c.id == evaluation_id)
        row = await self._database.first(seen_by(caller, evaluations, query))
        if row is None:
            raise _not_found(evaluation_id)
        return EvaluationRow(**row)

    async def outcomes(self, evaluation_id: str, *, caller: str | None) -> str:
        """As they were stored. Raises EvaluationNotFound."""
        this = sa.select(evaluations.c.outcomes).where(evaluations.c.id == evaluation_id)
        found: str | None = await self._database.scalar(seen_by(caller, evaluations, this))
        if found is None:
            raise _not_found(evaluation_id)
        return found

    async def page(
        self, domain: str | None, *, caller: str | None, before: str | None, limit: int
    ) -> list[EvaluationRow]:
        """Newest first, at most `limit`, older than the id `before`."""
        query = sa.select(*_COLUMNS).order_by(evaluations.c.id.desc()).limit(limit)
        if domain is not None:
            query = query.where(evaluations.c.domain == domain)
        if before is not None:
            query = query.where(evaluations.c.id < before)
        rows = await self._database.mappings(seen_by(caller, evaluations, query))
        return [EvaluationRow(**row) for row in rows]

    async def next_of_others(self, caller: str, *, after: str) -> str | None:
        """The first id after `after` that belongs to another caller."""
        column = evaluations.c
        query = sa.select(sa.func.min(column.id)).where(column.caller != caller, column.id > after)
        return await self._database.scalar(query)

    async def naming(self, names: Sequence[str]) -> list[str]:
        """Ids of evaluations whose report or outcomes contain any of these."""
        column = evaluations.c
        said = [
            text.contains(name, autoescape=True)
            for name in names
            for text in (column.report, column.outcomes)
        ]
        query = sa.select(column.id).where(sa.or_(*said))
        return await self._database.scalars(query)

    async def rewrite(
        self, evaluation_id: str, change: Callable[[str, str], tuple[str, str] | None]
    ) -> None:
        """`change` maps a report and its outcomes to their new values; None: unchanged. It runs in
        a thread that nothing else waits for. An evaluation deleted meanwhile stays deleted."""
        this = evaluations.c.id == evaluation_id
        query = sa.select(evaluations.c.report, evaluations.c.outcomes).where(this)

        def changed(connection: sa.Connection) -> tuple[str, str] | None:
            row = connection.execute(query).first()
            return None if row is None else change(row.report, row.outcomes)

        left = await self._database.read(changed)
        if left is not None:
            values = dict(zip(("report", "outcomes"), left, strict=True))
            put = sa.update(evaluations).where(this).values(values)
            await self._database.change(put)

    async def delete(self, evaluation_id: str, *, caller: str | None) -> None:
        """Raises EvaluationNotFound."""
        this = sa.delete(evaluations).where(evaluations.c.id == evaluation_id)
        if not await self._database.change(seen_by(caller, evaluations, this)):
            raise _not_found(evaluation_id)


def _not_found(evaluation_id: str) -> EvaluationNotFound:
    return EvaluationNotFound(f"There is no evaluation {evaluation_id}.")
