"""A caller's rows other than results and batches: which are deleted when the caller is erased, and
which stay for accounting. All SQL for that is here."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa

from app.ledger import ERASED
from app.moment import TIME_UNITS
from app.storage.deliveries import delete_deliveries
from app.storage.putting import adding
from app.storage.tables import (
    SPENT_BY,
    SUMS,
    cost_days,
    cost_hours,
    deliveries,
    evaluations,
    idempotency_keys,
    ledger,
    tallies,
    tally_news,
    webhooks,
)
from app.storage.traces import erase_events

AT_ONCE = 200
"""Rows deleted in one transaction, each with its traces in other tables."""

UNDER_WAY = timedelta(minutes=2)
"""How long a call may wait for its turn, and its cost for being booked."""


def _webhooks(caller: str, until: datetime, connection: sa.Connection) -> int:
    column = webhooks.c
    mine = column.caller == caller, column.created_at <= until
    gone = connection.execute(sa.delete(webhooks).where(*mine).returning(column.id)).scalars().all()
    erase_events(connection, gone)
    return len(gone)


def _deliveries(caller: str, until: datetime, connection: sa.Connection) -> int:
    # Regardless of age: the webhook it was for is gone.
    column = deliveries.c
    there = sa.exists().where(webhooks.c.id == column.webhook_id)
    mine = column.caller == caller, ~there
    some = sa.select(column.id).where(*mine).order_by(column.id).limit(AT_ONCE)
    return delete_deliveries(connection, some, *mine)


def _evaluations(caller: str, until: datetime, connection: sa.Connection) -> int:
    column = evaluations.c
    mine = column.caller == caller, column.created_at <= until
    some = sa.select(column.id).where(*mine).limit(AT_ONCE)
    return connection.execute(sa.delete(evaluations).where(column.id.in_(some))).rowcount


def _keys(caller: str, until: datetime, connection: sa.Connection) -> int:
    column = idempotency_keys.c
    mine = column.caller == caller, column.created_at <= until
    some = sa.select(column.key).where(*mine).limit(AT_ONCE)
    change = sa.delete(idempotency_keys).where(*mine, column.key.in_(some))
    return connection.execute(change).rowcount


def make_nobodys(entries: Sequence[str], connection: sa.Connection) -> int:
    """Anonymizes ledger entries: the amounts stay, but nothing that identifies the caller."""
    nobody = {"caller": ERASED, "batch_id": None, "result_id": None}
    change = sa.update(ledger).where(ledger.c.id.in_(entries)).values(nobody)
    return connection.execute(change).rowcount


def _sums(table: sa.Table, caller: str, until: datetime, connection: sa.Connection) -> int:
    """Moves sums of costs to ERASED; the last hour and day with everything in them by now."""
    column = table.c
    mine = column.caller == caller, column.start <= until + UNDER_WAY
    some = sa.select(column.start).where(*mine).order_by(column.start).limit(AT_ONCE).distinct()
    gone = sa.delete(table).where(*mine, column.start.in_(some)).returning(*column)
    by = [each for each in ("start", *SPENT_BY, "batch_id") if each in column]
    sums: dict[tuple[Any, ...], dict[str, Any]] = {}
    rows = connection.execute(gone).mappings().all()
    for row in rows:
        key = dict(row) | {"caller": ERASED, "batch_id": ""}
        known = sums.setdefault(tuple(key[each] for each in by), dict.fromkeys(SUMS, 0))
        for name in SUMS:
            known[name] += row[name]
    if sums:
        new = [dict(zip(by, key, strict=True)) | sums[key] for key in sorted(sums)]
        connection.execute(adding(table), new)
    return len(rows)


def _tallies(caller: str, until: datetime, connection: sa.Connection) -> int:
    """Deletes the caller's own tallies; it stays counted in those of all callers."""
    until += UNDER_WAY
    news = sa.update(tally_news).where(tally_news.c.caller == caller)
    connection.execute(news.where(tally_news.c.start <= until).values(caller=ERASED))
    column = tallies.c
    count = 0
    for level in TIME_UNITS:
        mine = (
            column.level == level,
            column.caller == caller,
            column.start <= until,
        )
        some = sa.select(column.start).where(*mine).distinct().limit(AT_ONCE)
        change = sa.delete(tallies).where(*mine, column.start.in_(some))
        count += connection.execute(change).rowcount
    return count


ROWS: Mapping[str, Callable[[str, datetime, sa.Connection], int]] = {
    "webhooks": _webhooks,
    "deliveries": _deliveries,
    "evaluations": _evaluations,
    "idempotency_keys": _keys,
    "cost_hours": partial(_sums, cost_hours),
    "cost_days": partial(_sums, cost_days),
    "tallies": _tallies,
}
"""By the kind that is counted: each deletes the next rows of a caller up to a moment, and returns
how many."""
