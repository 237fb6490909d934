"""Leases: what a process may spend of a budget without asking the database.

Summed spending plus all leases never exceeds the budget: a process that takes a lease reads both at
once, while it holds the lock on the budget's row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports it, too

from app.budget import Budget
from app.prices import LEAST
from app.storage.budget_sums import Purse, fresh_of, spent_of
from app.storage.tables import Usd, budget_periods, leases

LEAST_SHARE = 4
"""A lease is at most a fourth of what is free, to leave some for others, unless that is not enough
for a call."""

SUMMED_WITHIN = timedelta(minutes=1)
"""By then, the cost of a call made without a reservation is in the sums."""

DEAD_AFTER = timedelta(minutes=10)
"""Without a sign of life: then the lease of a process that can't be asked is returned."""


@dataclass(frozen=True, slots=True)
class Request:
    """For a lease.

    Attributes:
        needs: the least useful amount.
        wants: the preferred amount.
    """

    budget: Budget
    starts_at: datetime
    needs: Decimal
    wants: Decimal

    @property
    def purse(self) -> Purse:
        return Purse(self.budget.name, self.starts_at)


@dataclass(frozen=True, slots=True)
class Lease:
    """
    Attributes:
        amount: what was added; 0: too little is free.
        spent: of the budget, according to the sums.
    """

    amount: Decimal
    spent: Decimal


def take_lease(connection: sa.Connection, process: str, request: Request, now: datetime) -> Lease:
    budget, starts_at = request.budget, request.starts_at
    key = {"budget": budget.name, "starts_at": starts_at}
    since = connection.execute(_HAVE_TO_ITSELF, {**key, "since": now}).scalar_one()
    terms = [spent_of(budget, starts_at), leased_of(budget, starts_at)]
    if now < since + SUMMED_WITHIN:
        # Spending from before the first reservation, which no lease covers.
        terms.append(fresh_of(budget, starts_at, before=since))
    spent, leased, *before = (
        each or Decimal(0) for each in connection.execute(sa.select(*terms)).one()
    )
    spent += sum(before, Decimal(0))
    free = budget.amount_usd - spent - leased
    if free < request.needs:
        return Lease(Decimal(0), spent)
    amount = min(request.wants, max(request.needs, (free / LEAST_SHARE).quantize(LEAST)))
    connection.execute(_TAKE, {**key, "process": process, "amount": amount, "seen_at": now})
    return Lease(amount, spent)


def release(
    connection: sa.Connection, process: str, freed: Mapping[Purse, Decimal], now: datetime
) -> None:
    """Give back the part of leases that is spent or no longer needed; an amount of 0 still renews
    the lease."""
    for purse, amount in sorted(freed.items()):
        connection.execute(
            _RELEASE,
            {
                "this": purse.budget,
                "since": purse.starts_at,
                "mine": process,
                "less": amount,
                "now": now,
            },
        )


def leased_of(budget: Budget, starts_at: datetime) -> sa.ScalarSelect[Any]:
    return (
        sa.select(sa.func.sum(leases.c.amount))
        .where(leases.c.budget == budget.name, leases.c.starts_at == starts_at)
        .scalar_subquery()
    )


_PERIOD = insert(budget_periods)
_HAVE_TO_ITSELF = _PERIOD.on_conflict_do_update(
    index_elements=list(budget_periods.primary_key.columns),
    set_={"told": budget_periods.c.told},
).returning(budget_periods.c.since)
_NEW_LEASE = insert(leases)
_TAKE = _NEW_LEASE.on_conflict_do_update(
    index_elements=list(leases.primary_key.columns),
    set_={
        "amount": leases.c.amount + _NEW_LEASE.excluded.amount,
        "seen_at": _NEW_LEASE.excluded.seen_at,
    },
)
_RELEASE = (
    sa.update(leases)
    .where(
        leases.c.budget == sa.bindparam("this"),
        leases.c.starts_at == sa.bindparam("since"),
        leases.c.process == sa.bindparam("mine"),
    )
    .values(amount=leases.c.amount - sa.bindparam("less", type_=Usd), seen_at=sa.bindparam("now"))
)
