"""Budgets: their definitions, their spending, and the thresholds that were announced."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json
from sqlalchemy.dialects.postgresql import insert  # SQLite supports it, too

from app.budget import THRESHOLDS, Budget
from app.storage.audit import Action, By, note
from app.storage.budget_sums import Purse, fresh_of, sums_of
from app.storage.database import Database
from app.storage.events import budget_threshold
from app.storage.leases import DEAD_AFTER, Lease, Request, leased_of, take_lease
from app.storage.outbox import Telling
from app.storage.putting import putting
from app.storage.tables import budget_periods, budgets, leases


@dataclass(frozen=True, slots=True)
class BudgetState:
    """
    Attributes:
        spent: in this period, up to the last entry.
        reserved: for calls in progress, and by processes for their next ones.
    """

    budget: Budget
    starts_at: datetime
    spent: Decimal
    reserved: Decimal

    @property
    def left(self) -> Decimal:
        """What is not spent."""
        return max(Decimal(0), self.budget.amount_usd - self.spent)


class BudgetRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Budget]:
        query = sa.select(budgets.c.definition).order_by(budgets.c.name)
        found = await self._database.scalars(query)
        return [Budget.model_validate_json(each) for each in found]

    async def put(self, *changed: Budget, only: bool = False, by: By) -> None:
        """Spending is unchanged, and thresholds are announced anew. `only`: delete all others."""
        names = [each.name for each in changed]
        rows = [
            {
                "name": each.name,
                "definition": each.model_dump_json(),
                "changed_at": datetime.now(UTC),
            }
            for each in changed
        ]

        def unit(connection: sa.Connection) -> None:
            if only:
                others = sa.delete(budgets).where(budgets.c.name.not_in(names))
                for gone in connection.execute(others.returning(budgets)).mappings().all():
                    _note(connection, by, "budget.deleted", before=gone["definition"])
            for each in changed:
                _begin_anew(connection, each.name, each)
                before = connection.execute(_DEFINITION, {"wanted": each.name}).scalar()
                _note(connection, by, "budget.put", before=before, after=each.model_dump_json())
            if rows:
                connection.execute(_PUT, rows)

        await self._database.write(unit)

    async def delete(self, name: str, *, by: By) -> bool:
        """Returns whether it existed."""
        goes = sa.delete(budgets).where(budgets.c.name == name).returning(budgets.c.definition)

        def unit(connection: sa.Connection) -> bool:
            _begin_anew(connection, name)
            before = connection.execute(goes).scalar()
            if before is not None:
                _note(connection, by, "budget.deleted", before=before)
            return before is not None

        return await self._database.write(unit)

    async def lease(
        self, process: str, requests: Sequence[Request], now: datetime
    ) -> dict[Purse, Lease]:
        """Lease more of some budgets. Raises StorageUnavailable."""

        def unit(connection: sa.Connection) -> dict[Purse, Lease]:
            # In a fixed order, so that two processes that want the same budgets can't deadlock.
            return {
                each.purse: take_lease(connection, process, each, now)
                for each in sorted(requests, key=lambda each: each.purse)
            }

        return await self._database.write(unit)

    async def leases(self, process: str, now: datetime) -> dict[Purse, Decimal]:
        """Amounts leased by the process; also records that it is alive."""
        column = leases.c
        alive = (
            sa.update(leases)
            .where(column.process == process)
            .values(seen_at=now)
            .returning(column.budget, column.starts_at, column.amount)
        )

        def unit(connection: sa.Connection) -> dict[Purse, Decimal]:
            return {Purse(row[0], row[1]): row[2] for row in connection.execute(alive)}

        return await self._database.write(unit)

    async def end_leases(self, process: str) -> None:
        """For a process that is dead and whose spending is completely recorded."""
        ends = sa.delete(leases).where(leases.c.process == process)
        await self._database.change(ends)

    async def end_dead_leases(self, now: datetime) -> int:
        """Of processes that have not been seen for a while."""
        ends = sa.delete(leases).where(leases.c.seen_at < now - DEAD_AFTER)
        return await self._database.change(ends)

    async def states(self, wanted: Iterable[Budget], now: datetime) -> list[BudgetState]:
        """In their current periods."""
        asked = [(each, each.starts_at(now)) for each in wanted]

        def unit(connection: sa.Connection) -> list[BudgetState]:
            found, sums = [], sums_of(connection, asked)
            for budget, starts_at in asked:
                terms = (each(budget, starts_at) for each in (leased_of, fresh_of))
                row = connection.execute(sa.select(*terms)).one()
                leased, fresh = (each or Decimal(0) for each in row)
                spent = sums[Purse(budget.name, starts_at)] + fresh
                # Entries not summed yet are still part of leases.
                reserved = max(Decimal(0), leased - fresh)
                found.append(BudgetState(budget, starts_at, spent, reserved))
            return found

        return await self._database.read(unit)


def _note(
    connection: sa.Connection,
    by: By,
    action: Action,
    *,
    before: str | None = None,
    after: str | None = None,
) -> None:
    if before != after:
        was, now = (None if each is None else from_json(each) for each in (before, after))
        name = (was or now or {})["name"]
        note(connection, by, action, name, before=was, after=now)


def _begin_anew(connection: sa.Connection, name: str, new: Budget | None = None) -> None:
    """Thresholds announced so far were those of the old definition; and if the budget now covers
    other calls, nothing has been reserved for these yet."""
    periods = budget_periods.c.budget == name
    connection.execute(sa.update(budget_periods).where(periods).values(told=0))
    old = connection.execute(sa.select(budgets.c.definition).where(budgets.c.name == name)).scalar()
    if new is None or old is None or not Budget.model_validate_json(old).covers_as(new):
        connection.execute(sa.delete(budget_periods).where(periods))


def tell_thresholds(
    connection: sa.Connection,
    telling: Telling,
    wanted: Sequence[Budget],
    added: Sequence[Mapping[str, Any]],
    exhausted: Mapping[Purse, Budget],
    now: datetime,
) -> None:
    """Announce thresholds passed after `added` went into the hourly sums, and of `exhausted`
    budgets, which have too little left for a call."""
    spent_of = {
        (budget, budget.starts_at(row["start"]))
        for budget in wanted
        for row in added
        if row["cost_usd"]
        and budget.covers(caller=row["caller"], domain=row["domain"], batch_id=row["batch_id"])
    }
    too_little = {(budget, starts_at) for (_, starts_at), budget in exhausted.items()}
    sums = sums_of(connection, spent_of | too_little)
    for budget, starts_at in spent_of | too_little:
        spent = sums[Purse(budget.name, starts_at)]
        passed = [each for each in THRESHOLDS if spent * 100 >= budget.amount_usd * each]
        if (budget, starts_at) in too_little:
            passed = [100]
        if passed:
            _tell(connection, telling, budget, starts_at, spent, passed[-1], now)


def _tell(
    connection: sa.Connection,
    telling: Telling,
    budget: Budget,
    starts_at: datetime,
    spent: Decimal,
    percent: int,
    now: datetime,
) -> None:
    """Once per period."""
    key = {"budget": budget.name, "starts_at": starts_at}
    connection.execute(_KNOW, {**key, "since": now})
    row = {"this": budget.name, "period": starts_at, "percent": percent}
    if connection.execute(_TOLD, row).rowcount:
        telling.tell(connection, budget_threshold(budget, starts_at, spent, percent))


_DEFINITION = sa.select(budgets.c.definition).where(budgets.c.name == sa.bindparam("wanted"))
_PUT = putting(budgets)
_KNOW = insert(budget_periods).on_conflict_do_nothing()
_TOLD = (
    sa.update(budget_periods)
    .where(
        budget_periods.c.budget == sa.bindparam("this"),
        budget_periods.c.starts_at == sa.bindparam("period"),
        budget_periods.c.told < sa.bindparam("percent"),
    )
    .values(told=sa.bindparam("percent"))
)
