"""Spending of budgets: what the sums hold, and ledger entries not summed yet."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import sqlalchemy as sa

from app.budget import Budget
from app.moment import EPOCH
from app.storage.tables import IS_UNSUMMED, cost_days, cost_hours, ledger


class Purse(NamedTuple):
    """A budget in one of its periods."""

    budget: str
    starts_at: datetime


def sums_of(
    connection: sa.Connection, asked: Collection[tuple[Budget, datetime]]
) -> dict[Purse, Decimal]:
    """Spending according to the sums. Budgets of the same period share a query."""
    found: dict[Purse, Decimal] = {}
    together: defaultdict[tuple[datetime, datetime | None], list[Budget]] = defaultdict(list)
    for budget, starts_at in asked:
        if budget.batch_id is None:
            together[starts_at, budget.resets_at(starts_at)].append(budget)
        else:
            spent = connection.execute(sa.select(spent_of(budget, starts_at))).scalar()
            found[Purse(budget.name, starts_at)] = spent or Decimal(0)
    column = cost_days.c
    for (starts_at, resets_at), some in together.items():
        query = sa.select(column.caller, column.domain, sa.func.sum(column.cost_usd))
        rows = connection.execute(
            _within(query, starts_at, resets_at).group_by(column.caller, column.domain)
        ).all()
        for each in some:
            found[Purse(each.name, starts_at)] = sum(
                (
                    usd
                    for caller, domain, usd in rows
                    if each.covers(caller=caller, domain=domain, batch_id=None)
                ),
                Decimal(0),
            )
    return found


def _within(query: Any, starts_at: datetime, resets_at: datetime | None) -> Any:
    """For sums by day."""
    if starts_at > EPOCH:
        query = query.where(cost_days.c.start >= starts_at)
    return query if resets_at is None else query.where(cost_days.c.start < resets_at)


def spent_of(budget: Budget, starts_at: datetime) -> sa.ScalarSelect[Any]:
    """According to the sums."""
    table = cost_days if budget.batch_id is None else cost_hours
    column = table.c
    query = sa.select(sa.func.sum(column.cost_usd)).where(*_covered(budget, column))
    if budget.batch_id is None:
        query = _within(query, starts_at, budget.resets_at(starts_at))
    return query.scalar_subquery()


def fresh_of(
    budget: Budget, starts_at: datetime, before: datetime | None = None
) -> sa.ScalarSelect[Any]:
    """Entries not in any sum yet."""
    column = ledger.c
    query = sa.select(sa.func.sum(column.cost_usd)).where(
        IS_UNSUMMED, column.at >= starts_at, *_covered(budget, column)
    )
    for end in (budget.resets_at(starts_at), before):
        if end is not None:
            query = query.where(column.at < end)
    return query.scalar_subquery()


def _covered(budget: Budget, column: Any) -> list[sa.ColumnElement[bool]]:
    covered = []
    if budget.domain is not None:
        covered.append(column.domain == budget.domain)
    if budget.caller is not None:
        covered.append(column.caller == budget.caller)
    if budget.batch_id is not None:
        covered.append(column.batch_id == budget.batch_id)
    return covered
