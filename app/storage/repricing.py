"""Applies changed prices to ledger entries. All SQL that changes their cost is here.

Whatever was computed from an entry changes by the difference: sums, its result, its batch.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from app.identifiers import CALL, lowest_id
from app.ledger import LedgerEntry
from app.moment import began
from app.storage.database import Database
from app.storage.ledger import Added, add
from app.storage.tables import SPENT_BY, SUMS, Usd, batches, ledger, results

AT_ONCE = 500
"""Entries read at a time, and changed in one transaction."""

AROUND = timedelta(hours=1)
"""Upper bound on the clock difference between two processes."""


@dataclass(frozen=True, slots=True)
class NewPrice:
    entry: LedgerEntry
    cost_usd: Decimal
    price: str

    @property
    def difference_usd(self) -> Decimal:
        return self.cost_usd - (self.entry.cost_usd or Decimal(0))


class RepricingRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, since: datetime, *, after: str) -> list[LedgerEntry]:
        """Calls since then, in order of time."""
        query = (
            sa.select(*(ledger.c[each.name] for each in fields(LedgerEntry)))
            .where(
                ledger.c.id >= lowest_id(CALL, since),
                ledger.c.id > after,
                ledger.c.kind == "asked",
            )
            .order_by(ledger.c.id)
            .limit(AT_ONCE)
        )
        return [LedgerEntry(**row) for row in await self._database.mappings(query)]

    async def change(self, wanted: Sequence[NewPrice]) -> list[NewPrice]:
        """Returns those that were still unchanged, and are changed now."""
        return await self._database.write(lambda each: _change(each, wanted))


def _change(connection: sa.Connection, wanted: Sequence[NewPrice]) -> list[NewPrice]:
    changed: list[NewPrice] = []
    sums = []
    for each in wanted:
        row = connection.execute(_REPRICE, _parameters(each)).mappings().first()
        if row is None:
            continue
        changed.append(each)
        if row["rolled"]:
            sums.append(_added(each))
    add(connection, sums)
    stored = [each for each in changed if each.entry.result_id is not None]
    _add_to(connection, _RESULT, ((each.entry.result_id, each) for each in stored))
    _know(connection, {each.entry.result_id for each in stored if each.entry.cost_usd is None})
    _add_to(connection, _BATCH, ((each.entry.batch_id, each) for each in changed))
    return changed


def _added(each: NewPrice) -> Added:
    """Correction of the sums that contain the entry."""
    entry, usd = each.entry, each.difference_usd
    nothing = {name: Decimal(0) if name.endswith("_usd") else 0 for name in SUMS}
    changed = {
        "cost_usd": usd,
        "estimated_usd": usd if entry.estimated else Decimal(0),
        "unpriced_calls": -1 if entry.cost_usd is None else 0,
    }
    by = tuple(getattr(entry, name) for name in SPENT_BY)
    return Added(began(entry.at, "hour"), by, entry.batch_id or "", nothing | changed)


def _parameters(each: NewPrice) -> dict[str, Any]:
    return {
        "this": each.entry.id,
        "old": each.entry.cost_usd,
        "old_price": each.entry.price,
        "new": each.cost_usd,
        "new_price": each.price,
    }


def _add_to(
    connection: sa.Connection, statement: sa.Update, changed: Iterable[tuple[str | None, NewPrice]]
) -> None:
    differences: defaultdict[str, Decimal] = defaultdict(Decimal)
    for name, each in changed:
        if name is not None:
            differences[name] += each.difference_usd
    if differences:
        rows = [{"this": name, "more": usd} for name, usd in sorted(differences.items())]
        connection.execute(statement, rows)


def _know(connection: sa.Connection, ids: Collection[str | None]) -> None:
    """Sets the cost of results for which it can now be known."""
    if not ids:
        return
    column = results.c
    times = sa.select(
        sa.func.min(column.created_at),
        sa.func.max(sa.func.coalesce(column.completed_at, column.created_at)),
    ).where(column.id.in_(ids))
    first, last = connection.execute(times).one()
    if first is None:
        return
    # Entries have no index by result: they are searched in the time range of the results.
    costs = (
        sa.select(ledger.c.result_id.label("this"), sa.func.sum(ledger.c.cost_usd).label("usd"))
        .where(
            ledger.c.id >= lowest_id(CALL, first - AROUND),
            ledger.c.id < lowest_id(CALL, last + AROUND),
            ledger.c.result_id.in_(ids),
        )
        .group_by(ledger.c.result_id)
        .having(sa.func.count() == sa.func.count(ledger.c.cost_usd))
        .order_by(ledger.c.result_id)
    )
    if known := [dict(row) for row in connection.execute(costs).mappings()]:
        connection.execute(_KNOWN, known)


_REPRICE = (
    sa.update(ledger)
    .where(
        ledger.c.id == sa.bindparam("this"),
        ledger.c.cost_usd.is_not_distinct_from(sa.bindparam("old", type_=Usd)),
        ledger.c.price.is_not_distinct_from(sa.bindparam("old_price", type_=sa.String)),
    )
    .values(cost_usd=sa.bindparam("new"), price=sa.bindparam("new_price"))
    .returning(ledger)
)
_RESULT = (
    sa.update(results)
    .where(results.c.id == sa.bindparam("this"))
    .values(cost_usd=results.c.cost_usd + sa.bindparam("more", type_=Usd))
)
"""NULL stays NULL."""
_KNOWN = (
    sa.update(results)
    .where(results.c.id == sa.bindparam("this"))
    .values(cost_usd=sa.bindparam("usd"))
)
_BATCH = (
    sa.update(batches)
    .where(batches.c.id == sa.bindparam("this"))
    .values(cost_usd=batches.c.cost_usd + sa.bindparam("more", type_=Usd))
)
