"""What calls cost: an entry for each, and sums by hour and day. All SQL that writes it is here,
except for changed prices: repricing.py.

An entry is written with the result it belongs to. It is added to the sums later, in the transaction
that releases the budget leases it was reserved in: so no shared row is locked while results are
stored.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa

from app.budget import Budget
from app.ledger import LedgerEntry
from app.moment import began
from app.storage.budget_sums import Purse
from app.storage.budgets import tell_thresholds
from app.storage.database import Database, Unit
from app.storage.driver_insert import DriverInsert
from app.storage.leases import release
from app.storage.outbox import Outbox
from app.storage.putting import adding
from app.storage.tables import (
    IS_UNSUMMED,
    KINDS,
    SPENT_BY,
    TOKENS,
    Usd,
    UtcTime,
    batches,
    cost_days,
    cost_hours,
    ledger,
)

AT_ONCE = 5_000
"""Entries that are summed in one transaction."""

_CONVERTED = ("at", "cost_usd", "saved_usd")
_AS_THEY_ARE = tuple(each.name for each in fields(LedgerEntry) if each.name not in _CONVERTED)
_COLUMNS = (*_CONVERTED, *_AS_THEY_ARE)
_OTHERS = attrgetter(*_AS_THEY_ARE)
_ROLLED = tuple(each.name for each in ledger.c if each.name != "rolled")
_BY, _ALIKE = (
    itemgetter(*map(_ROLLED.index, names))  # naming the columns of a row takes ten times as long
    for names in (SPENT_BY, (*SPENT_BY, "batch_id", "kind", "estimated"))
)

Amounts = Mapping[Purse, Decimal]


@dataclass(frozen=True, slots=True)
class Rolled:
    """Entries that have just been added to the sums.

    Attributes:
        ids: of all of them.
        more: there are others.
    """

    ids: tuple[str, ...]
    more: bool


class LedgerRepository:
    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    def booking(self, entries: Iterable[LedgerEntry]) -> Unit[None] | None:
        """Writes entries that do not exist yet; None: there is nothing to write."""
        found = list(entries)
        return (lambda connection: book(connection, found)) if found else None

    async def book(self, entries: Iterable[LedgerEntry], *, lost: bool = False) -> None:
        """Write entries without a result; `lost`: there will be none, but their cost still counts
        towards their batches. Raises StorageUnavailable."""
        found = list(entries)
        if found:
            unit = book_lost if lost else book
            await self._database.write(lambda connection: unit(connection, found))

    async def roll(
        self,
        process: str,
        budgets: Sequence[Budget],
        held: Mapping[str, Amounts],
        given_up: Amounts,
        exhausted: Mapping[Purse, Budget],
        now: datetime,
    ) -> Rolled:
        """Add the entries of a process to the sums, and release the part of its leases that covered
        them.

        Args:
            budgets: whose thresholds are checked and announced.
            held: by entry id, the amount reserved in each lease.
            given_up: other amounts of leases that are no longer needed.
            exhausted: budgets to be announced as spent.
        """
        telling = self._outbox.telling()

        def unit(connection: sa.Connection) -> Rolled:
            mine = {"wanted": process, "most": AT_ONCE}
            rows = connection.execute(_ROLL, mine).all()
            added = _add(connection, rows)
            freed: defaultdict[Purse, Decimal] = defaultdict(Decimal, given_up)
            for row in rows:
                for purse, amount in held.get(row.id, {}).items():
                    freed[purse] += amount
            release(connection, process, freed, now)
            tell_thresholds(connection, telling, budgets, added, exhausted, now)
            return Rolled(tuple(row.id for row in rows), len(rows) == AT_ONCE)

        rolled = await self._database.write(unit)
        telling.wake()
        return rolled

    async def rolled(self, ids: Collection[str]) -> list[str]:
        """Those that are in the sums."""
        query = sa.select(ledger.c.id).where(ledger.c.id.in_(ids), ledger.c.rolled)
        return await self._database.scalars(query)

    async def processes_behind(self, before: datetime) -> list[str]:
        """Processes with entries from before then that are not in the sums."""
        query = sa.select(ledger.c.process).distinct().where(IS_UNSUMMED, ledger.c.at < before)
        return await self._database.scalars(query)


def book(connection: sa.Connection, entries: Sequence[LedgerEntry]) -> None:
    """Write entries that do not exist yet. Existing ones, written early because their result took
    long, are linked to it."""
    if _BOOK.run(connection, [_values(each) for each in entries]) < len(entries):
        belong = [{"this": each.id, "of": each.result_id} for each in entries if each.result_id]
        if belong:
            connection.execute(_LINK, belong)


def book_lost(connection: sa.Connection, entries: Sequence[LedgerEntry]) -> None:
    """Write entries that do not exist yet, and add their costs to their batches."""
    ids = [each.id for each in entries]
    # The first statement must write: see Unit.
    connection.execute(_TOUCH, {"batches": sorted({each.batch_id or "" for each in entries})})
    there = set(connection.execute(sa.select(ledger.c.id).where(ledger.c.id.in_(ids))).scalars())
    new = [each for each in entries if each.id not in there]
    book(connection, new)
    for each in new:
        if each.batch_id is not None:
            connection.execute(
                _PAID,
                {
                    "this": each.batch_id,
                    "prompt": each.prompt_tokens,
                    "completion": each.completion_tokens,
                    "usd": each.cost_usd or Decimal(0),
                },
            )


def _values(entry: LedgerEntry) -> tuple[Any, ...]:
    cost = entry.cost_usd
    return (
        UtcTime.stored(entry.at),
        None if cost is None else Usd.stored(cost),
        Usd.stored(entry.saved_usd),
        *_OTHERS(entry),
    )


def sums_of(entries: Sequence[sa.Row[Any]]) -> dict[str, Any]:
    """Their totals. They must be of one kind, and all or none of them estimated and priced."""
    columns = dict(zip(_ROLLED, zip(*entries, strict=True), strict=True))
    kind, estimated = entries[0].kind, entries[0].estimated
    priced = entries[0].cost_usd is not None
    cost = sum(columns["cost_usd"], Decimal(0)) if priced else Decimal(0)
    saved = sum(columns["saved_usd"], Decimal(0))
    answers = sum(columns["answers"])
    count = len(entries)
    return {
        "calls": count if kind == "asked" else 0,
        "estimated_calls": count if estimated else 0,
        "unpriced_calls": 0 if priced else count,
        **{each: answers if each == kind else 0 for each in KINDS},
        **{name: sum(columns[name]) for name in TOKENS},
        "cost_usd": cost,
        "estimated_usd": cost if estimated else Decimal(0),
        **{f"saved_{each}_usd": saved if each == kind else Decimal(0) for each in KINDS[1:]},
    }


class Added(NamedTuple):
    """An addition to the sums of an hour, and of its day.

    Attributes:
        by: values of SPENT_BY.
        batch_id: empty for none.
    """

    hour: datetime
    by: tuple[str, ...]
    batch_id: str
    sums: Mapping[str, Any]


def _add(connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> list[dict[str, Any]]:
    alike: defaultdict[tuple[Any, ...], list[sa.Row[Any]]] = defaultdict(list)
    for row in rows:
        alike[(began(row.at, "hour"), row.cost_usd is None, *_ALIKE(row))].append(row)
    return add(
        connection,
        (
            Added(hour, _BY(entries[0]), entries[0].batch_id or "", sums_of(entries))
            for (hour, *_), entries in alike.items()
        ),
    )


def add(connection: sa.Connection, added: Iterable[Added]) -> list[dict[str, Any]]:
    """Returns what was added, by hour."""
    hours: dict[tuple[Any, ...], dict[str, Any]] = {}
    days: dict[tuple[Any, ...], dict[str, Any]] = {}
    for hour, by, batch_id, more in added:
        for sums, key in (
            (hours, (hour, *by, batch_id)),
            (days, (began(hour, "day"), *by)),
        ):
            if (known := sums.get(key)) is None:
                sums[key] = dict(more)
            else:
                for name, value in more.items():
                    known[name] += value
    new = _rows(("start", *SPENT_BY, "batch_id"), hours)
    if new:
        connection.execute(_ADD_HOURS, new)
        connection.execute(_ADD_DAYS, _rows(("start", *SPENT_BY), days))
    return new


def _rows(
    names: Sequence[str], sums: Mapping[tuple[Any, ...], Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Sorted, so that two writers of the same rows can't deadlock."""
    return [dict(zip(names, key, strict=True)) | dict(sums[key]) for key in sorted(sums)]


_BOOK = DriverInsert(ledger, _COLUMNS, once=True)
"""Ignores existing entries: a write is repeated when its confirmation was lost."""
_LINK = (
    sa.update(ledger)
    .where(ledger.c.id == sa.bindparam("this"), ledger.c.result_id.is_(None))
    .values(result_id=sa.bindparam("of"))
)
_TOUCH = (
    sa.update(batches)
    .where(batches.c.id.in_(sa.bindparam("batches", expanding=True)))
    .values(cost_usd=batches.c.cost_usd)
)
_PAID = (
    sa.update(batches)
    .where(batches.c.id == sa.bindparam("this"))
    .values(
        prompt_tokens=batches.c.prompt_tokens + sa.bindparam("prompt"),
        completion_tokens=batches.c.completion_tokens + sa.bindparam("completion"),
        cost_usd=batches.c.cost_usd + sa.bindparam("usd", type_=Usd),
    )
)
_ROLL = (
    sa.update(ledger)
    .where(
        ledger.c.id.in_(
            sa.select(ledger.c.id)
            .where(IS_UNSUMMED, ledger.c.process == sa.bindparam("wanted"))
            .order_by(ledger.c.id)
            .limit(sa.bindparam("most"))
            .with_for_update(skip_locked=True)
        )
    )
    .values(rolled=True)
    .returning(*(ledger.c[name] for name in _ROLLED))
)
_ADD_HOURS, _ADD_DAYS = adding(cost_hours), adding(cost_days)
