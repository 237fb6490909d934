"""How good answers were found to be. All SQL about it is here."""

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
    """All of a caller's, until then."""

    caller: str
    asked_at: datetime


_ERASURES = sa.select(erasures.c.caller, erasures.c.asked_at)
_COLUMNS = tuple(evaluations.c[name] for name in EvaluationRow.__dataclass_fields__)


class EvaluationRepository:
    """`caller` None means an operator, who sees all rows; to others, other callers' don't exist.
    They are kept until somebody deletes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def erased(self) -> frozenset[Erased]:
        """What can't be read any more."""
        over = _ERASURES.where(erasures.c.ended_at.is_not(None))
        return frozenset(Erased(**row) for row in await self._database.mappings(over))

    async def insert(self, row: EvaluationRow, outcomes: str, *, erased: frozenset[Erased]) -> bool:
        """`outcomes` is JSON, and what a later evaluation may be compared with. `erased`: before
        what was judged was read. False: more was erased, or is, and nothing is stored."""
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
        """As they were put. Raises EvaluationNotFound."""
        this = sa.select(evaluations.c.outcomes).where(evaluations.c.id == evaluation_id)
        found: str | None = await self._database.scalar(seen_by(caller, evaluations, this))
        if found is None:
            raise _not_found(evaluation_id)
        return found

    async def page(
        self, domain: str | None, *, caller: str | None, before: str | None, limit: int
    ) -> list[EvaluationRow]:
        """The newest first, at most `limit`, older than the id `before`."""
        query = sa.select(*_COLUMNS).order_by(evaluations.c.id.desc()).limit(limit)
        if domain is not None:
            query = query.where(evaluations.c.domain == domain)
        if before is not None:
            query = query.where(evaluations.c.id < before)
        rows = await self._database.mappings(seen_by(caller, evaluations, query))
        return [EvaluationRow(**row) for row in rows]

    async def next_of_others(self, caller: str, *, after: str) -> str | None:
        """The id of the first behind `after` that is not this caller's."""
        column = evaluations.c
        query = sa.select(sa.func.min(column.id)).where(column.caller != caller, column.id > after)
        return await self._database.scalar(query)

    async def naming(self, names: Sequence[str]) -> list[str]:
        """Ids of those that say any of these."""
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
        """`change` makes of a report and its outcomes what they are from now on; None: the same. In
        a thread that nobody else waits for; where it is deleted meanwhile, it stays so."""
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
