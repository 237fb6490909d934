"""Bulk reads of results, a page at a time, as plain values. All SQL for exports is here.

Building a `Result` from each row would take longer than everything else.
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
from app.storage.tables import Usd, UtcTime, batch_items, results

AT_ONCE = 1_000
"""Rows held at a time."""

MAX_KEYS = 1_001
"""More than any export has columns."""

STATUS = FIELDS.index("status")

Values = list[Any]
"""Values of a row, in the order of FIELDS: nested as in a result's JSON, but times are datetimes.
None where there is no value, or it was not requested."""

BEHIND_ALL = f"{RESULT}_{'Z' * 26}"
"""Sorts after all identifiers."""


class ExportRepository:
    """Each page is a separate read: an export takes as long as its reader likes."""

    def __init__(self, database: Database, known: ResultRepository) -> None:
        self._database = database
        self._known = known

    async def items(self, batch_id: str, fields: Collection[str]) -> AsyncIterator[list[Values]]:
        """A batch's items in order, with `fields` of their results so far. Items without a result
        have the status `pending`, or `deleted`."""
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

        async for page in self._pages(query, values, after=-1):
            yield page

    async def results(
        self, wanted: ResultFilter, fields: Collection[str]
    ) -> AsyncIterator[list[Values]]:
        """Newest first. Raises ResultNotFound when the result they should be similar to does not
        exist."""
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

        def values(row: Sequence[Any]) -> Values:
            return selected.values(row[1:])

        async for page in self._pages(query, values, after=BEHIND_ALL):
            yield page

    async def keys_of_batch(self, batch_id: str, field: str) -> list[str]:
        """Keys of the mappings under `field`, across its results."""
        return await _keys(self.items(batch_id, [field]), field)

    async def keys_of_results(self, wanted: ResultFilter, field: str) -> list[str]:
        """Keys of the mappings under `field`, across these results. Raises as `results`."""
        return await _keys(self.results(wanted, [field]), field)

    async def _pages(
        self, query: sa.Select[Any], values: Callable[[Sequence[Any]], Values], *, after: Any
    ) -> AsyncIterator[list[Values]]:
        """Each page continues after the first column of the last row."""

        def unit(connection: sa.Connection) -> tuple[Any, list[Values]]:
            rows = connection.execute(query, {"after": after}).all()
            return (rows[-1][0] if rows else None), [values(row) for row in rows]

        while True:
            after, page = await self._database.read(unit)
            if not page:
                return
            yield page


async def _keys(pages: AsyncIterator[list[Values]], field: str) -> list[str]:
    # Not in SQL: in PostgreSQL, a NUL in any of the texts is an error.
    place, found = FIELDS.index(field), set[str]()
    async for page in pages:
        for values in page:
            found.update(values[place] or ())
        if len(found) >= MAX_KEYS:
            break
    return sorted(found)[:MAX_KEYS]


class _Selected:
    """The columns that hold some fields: one for each of FIELDS but the first, then those of usage.
    Read raw: SQLAlchemy's conversion of a value costs more than reading it."""

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
        """From a row of `item_id` and the columns."""
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
    except ValueError:  # half a surrogate, which Python's own decoder accepts
        return json.loads(text)
