"""Results in bulk, a page at a time, as plain values. All SQL of exports is here.

To make a `Result` of each row would take longer than all the rest.
"""

import json
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json

from app.identifiers import RESULT
from app.result import FIELDS, Usage
from app.storage.database import Database
from app.storage.results import ResultFilter, ResultRepository
from app.storage.tables import Usd, UtcTime, batch_errors, batch_items, results

AT_ONCE = 1_000
"""Rows held at a time."""

MAX_KEYS = 1_001
"""More than any export has columns."""

STATUS = FIELDS.index("status")

Values = list[Any]
"""Of a row, by FIELDS: nested as in a result's JSON, but moments are datetimes. None where there is
none, or it was not asked for."""

BEHIND_ALL = f"{RESULT}_{'Z' * 26}"
"""Of identifiers."""


class ExportRepository:
    """Each page is a read of its own: an export takes as long as whoever reads it likes."""

    def __init__(self, database: Database, known: ResultRepository) -> None:
        self._database = database
        self._known = known

    async def items(self, batch_id: str, fields: Collection[str]) -> AsyncIterator[list[Values]]:
        """A batch's items in their order, with `fields` of their results so far. Those without one
        are `pending`, or `deleted`."""
        selected = _Selected(fields)
        of_both = batch_items.outerjoin(results, results.c.id == batch_items.c.result_id)
        query = (
            sa.select(
                batch_items.c.number,
                batch_items.c.state,
                results.c.id,
                batch_items.c.item_id,
                *selected.columns,
            )
            .select_from(of_both)
            .where(batch_items.c.batch_id == batch_id, batch_items.c.number > sa.bindparam("after"))
            .order_by(batch_items.c.number)
            .limit(AT_ONCE)
        )

        def values(row: Sequence[Any]) -> Values:
            _, state, result_id, *rest = row
            found = selected.values(rest)
            if result_id is None:
                found[STATUS] = "deleted" if state == "done" else "pending"
            return found

        async for page in self._pages(query, after=-1):
            yield [values(row) for row in page]

    async def results(
        self, wanted: ResultFilter, fields: Collection[str]
    ) -> AsyncIterator[list[Values]]:
        """The newest first. Raises ResultNotFound when there is none that they shall be similar
        to."""
        selected = _Selected(fields)
        item_id = (
            sa.select(batch_items.c.item_id)
            .where(batch_items.c.result_id == results.c.id)
            .limit(1)
            .scalar_subquery()
        )
        query = (
            sa.select(results.c.id, item_id, *selected.columns)
            .where(*await self._known.conditions(wanted), results.c.id < sa.bindparam("after"))
            .order_by(results.c.id.desc())
            .limit(AT_ONCE)
        )
        async for page in self._pages(query, after=BEHIND_ALL):
            yield [selected.values(row[1:]) for row in page]

    async def keys_of_batch(self, batch_id: str, field: str) -> list[str]:
        """Of the mappings under `field`, in all its results."""
        of_batch = sa.select(batch_items.c.result_id).where(
            batch_items.c.batch_id == batch_id, batch_items.c.result_id.is_not(None)
        )
        return await self._keys(field, [results.c.id.in_(of_batch)])

    async def keys_of_results(self, wanted: ResultFilter, field: str) -> list[str]:
        """Of the mappings under `field`, in all of them. Raises as `results`."""
        return await self._keys(field, await self._known.conditions(wanted))

    async def _keys(self, field: str, conditions: list[sa.ColumnElement[bool]]) -> list[str]:
        # Where there is none, JSON's null is stored.
        text: Any = sa.func.nullif(sa.cast(results.c[field], sa.Text), "null")
        each = sa.func.json_each(
            sa.cast(text, sa.JSON) if self._database.is_postgres else text
        ).table_valued("key")
        query = (
            sa.select(each.c.key)
            .select_from(results.join(each, sa.true()))
            .where(*conditions)
            .distinct()
            .order_by(each.c.key)
            .limit(MAX_KEYS)
        )

        def unit(connection: sa.Connection) -> list[str]:
            return list(connection.execute(query).scalars())

        return await self._database.read(unit)

    async def bad_rows(self, batch_id: str) -> AsyncIterator[list[Values]]:
        """What is no item of a batch: its number, place and reason."""
        column = batch_errors.c
        query = (
            sa.select(column.number, column.place, column.reason)
            .where(column.batch_id == batch_id, column.number > sa.bindparam("after"))
            .order_by(column.number)
            .limit(AT_ONCE)
        )
        async for page in self._pages(query, after=-1):
            yield [list(row) for row in page]

    async def _pages(
        self, query: sa.Select[Any], *, after: Any
    ) -> AsyncIterator[Sequence[Sequence[Any]]]:
        """Each from behind the last row's first column."""

        def unit(connection: sa.Connection) -> Sequence[Sequence[Any]]:
            return connection.execute(query, {"after": after}).all()

        while page := await self._database.read(unit):
            yield page
            after = page[-1][0]


class _Selected:
    """The columns that hold some fields: one for each of FIELDS but the first, then those of
    usage. As they lie there: SQLAlchemy's own understanding of a value costs more than reading."""

    def __init__(self, fields: Collection[str]) -> None:
        wanted = [name if name in fields else None for name in FIELDS[1:]]
        self.columns = [
            sa.null() if name in (None, "usage") else _stored(results.c[name]) for name in wanted
        ]
        self._understood = [
            (place, meaning)
            for place, name in enumerate(wanted, start=1)
            if name not in (None, "usage") and (meaning := _meaning(results.c[name].type))
        ]
        self._usage = FIELDS.index("usage") if "usage" in fields else None
        if self._usage is not None:
            self.columns += [_stored(results.c[name]) for name in Usage.model_fields]

    def values(self, row: Sequence[Any]) -> Values:
        """Of `item_id` and the columns."""
        values = list(row[: len(FIELDS)])
        for place, meaning in self._understood:
            value = values[place]
            if value is not None:
                values[place] = meaning(value)
        if self._usage is not None:
            prompt, completion, cost = row[len(FIELDS) :]
            if prompt is not None:
                values[self._usage] = {
                    "prompt_tokens": prompt,
                    "completion_tokens": completion,
                    "cost_usd": None if cost is None else Usd.number(cost),
                }
        return values


def _stored(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    if isinstance(column.type, sa.JSON):
        return sa.cast(column, sa.Text)
    if isinstance(column.type, UtcTime | Usd):
        return sa.type_coerce(column, sa.BigInteger)
    return column


def _meaning(kind: Any) -> Callable[[Any], Any] | None:
    if isinstance(kind, sa.JSON):
        return _document
    return UtcTime.moment if isinstance(kind, UtcTime) else None


def _document(text: str) -> Any:
    try:
        return from_json(text)
    except ValueError:  # half a surrogate, which Python's own decoder knows
        return json.loads(text)
