"""What may be spent still, however many processes spend it. All SQL about it is here.

A process takes a lease of a budget, and spends from it without asking anybody. What the sums say is
spent and all leases together are never more than the budget: who takes a lease looks at both at
once, and while it has the budget's row to itself.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json
from sqlalchemy.dialects.postgresql import insert  # what SQLite speaks, too

from app.budget import EPOCH, THRESHOLDS, Budget
from app.prices import LEAST
from app.storage.audit import COMMAND_LINE, By, note
from app.storage.database import Database
from app.storage.events import budget_threshold
from app.storage.outbox import Telling
from app.storage.tables import Usd, budget_periods, budgets, cost_days, cost_hours, leases, ledger

LEAST_SHARE = 4
"""A lease is at most a fourth of what is free, so that others get something too, unless that is not
enough for a call."""

SUMMED_WITHIN = timedelta(minutes=1)
"""Of a call that nobody reserved for: then sums have it."""

DEAD_AFTER = timedelta(minutes=10)
"""Without a sign of life: then a lease is given back whose process can't be asked."""


class Purse(NamedTuple):
    """A budget in one of its periods."""

    budget: str
    starts_at: datetime


@dataclass(frozen=True, slots=True)
class Request:
    """For a lease.

    Attributes:
        needs: or it is of no use.
        wants: would be better.
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
        amount: that was added; 0: what is free is not enough.
        spent: of the budget, as sums have it.
    """

    amount: Decimal
    spent: Decimal


@dataclass(frozen=True, slots=True)
class BudgetState:
    """
    Attributes:
        spent: in this period, down to the last entry.
        reserved: for calls under way, and by processes for the next ones.
    """

    budget: Budget
    starts_at: datetime
    spent: Decimal
    reserved: Decimal

    @property
    def left(self) -> Decimal:
        """That is not spent."""
        return max(Decimal(0), self.budget.amount_usd - self.spent)


class BudgetRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Budget]:
        query = sa.select(budgets.c.definition).order_by(budgets.c.name)

        def unit(connection: sa.Connection) -> list[Budget]:
            found = connection.execute(query).scalars()
            return [Budget.model_validate_json(each) for each in found]

        return await self._database.read(unit)

    async def put(self, *changed: Budget, only: bool = False, by: By = COMMAND_LINE) -> None:
        """What is spent of them stays so, and thresholds are told anew. `only`: all others go."""
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

    async def delete(self, name: str, *, by: By = COMMAND_LINE) -> bool:
        """Whether there was one."""
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
        """More of some budgets. Raises StorageUnavailable."""

        def unit(connection: sa.Connection) -> dict[Purse, Lease]:
            # In one order, or two who want the same two wait for each other.
            return {
                each.purse: _lease(connection, process, each, now)
                for each in sorted(requests, key=lambda each: each.purse)
            }

        return await self._database.write(unit)

    async def leases(self, process: str, now: datetime) -> dict[Purse, Decimal]:
        """What it has of them, and that it lives."""
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
        """It is dead, and nothing of what it did is unknown."""
        ends = sa.delete(leases).where(leases.c.process == process)
        await self._database.write(lambda each: each.execute(ends).rowcount)

    async def end_dead_leases(self, now: datetime) -> int:
        """Of processes that nobody has heard of for a while."""
        ends = sa.delete(leases).where(leases.c.seen_at < now - DEAD_AFTER)
        return await self._database.write(lambda each: each.execute(ends).rowcount)

    async def states(self, wanted: Iterable[Budget], now: datetime) -> list[BudgetState]:
        """In their present periods."""
        asked = [(each, each.starts_at(now)) for each in wanted]

        def unit(connection: sa.Connection) -> list[BudgetState]:
            found, sums = [], _sums(connection, asked)
            for budget, starts_at in asked:
                terms = (each(budget, starts_at) for each in (_leased, _fresh))
                row = connection.execute(sa.select(*terms)).one()
                leased, fresh = (each or Decimal(0) for each in row)
                spent = sums[Purse(budget.name, starts_at)] + fresh
                # What no sum has yet is in leases still.
                reserved = max(Decimal(0), leased - fresh)
                found.append(BudgetState(budget, starts_at, spent, reserved))
            return found

        return await self._database.read(unit)


def _note(
    connection: sa.Connection,
    by: By,
    action: str,
    *,
    before: str | None = None,
    after: str | None = None,
) -> None:
    if before != after:
        was, now = (None if each is None else from_json(each) for each in (before, after))
        name = (was or now or {})["name"]
        note(connection, by, action, name, before=was, after=now)


def _begin_anew(connection: sa.Connection, name: str, new: Budget | None = None) -> None:
    """What was told of this budget was told of another one; and where it covers other calls now,
    nothing of these was reserved in it yet."""
    periods = budget_periods.c.budget == name
    connection.execute(sa.update(budget_periods).where(periods).values(told=0))
    old = connection.execute(sa.select(budgets.c.definition).where(budgets.c.name == name)).scalar()
    if new is None or old is None or not Budget.model_validate_json(old).covers_as(new):
        connection.execute(sa.delete(budget_periods).where(periods))


def _lease(connection: sa.Connection, process: str, request: Request, now: datetime) -> Lease:
    budget, starts_at = request.budget, request.starts_at
    key = {"budget": budget.name, "starts_at": starts_at}
    since = connection.execute(_HAVE_TO_ITSELF, {**key, "since": now}).scalar_one()
    terms = [_spent(budget, starts_at), _leased(budget, starts_at)]
    if now < since + SUMMED_WITHIN:
        # What was spent just before anybody reserved it.
        terms.append(_fresh(budget, starts_at, before=since))
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
    """Give back what of leases is spent, or not needed any more; a lease of which nothing is given
    back is heard of all the same."""
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


def tell_thresholds(
    connection: sa.Connection,
    telling: Telling,
    wanted: Sequence[Budget],
    added: Sequence[Mapping[str, Any]],
    exhausted: Mapping[Purse, Budget],
    now: datetime,
) -> None:
    """Of budgets, after that was `added` to sums of hours, or when too little is left of one for a
    call."""
    spent_of = {
        (budget, budget.starts_at(row["start"]))
        for budget in wanted
        for row in added
        if row["cost_usd"]
        and budget.covers(caller=row["caller"], domain=row["domain"], batch_id=row["batch_id"])
    }
    too_little = {(budget, starts_at) for (_, starts_at), budget in exhausted.items()}
    sums = _sums(connection, spent_of | too_little)
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
    """Once in a period."""
    key = {"budget": budget.name, "starts_at": starts_at}
    connection.execute(_KNOW, {**key, "since": now})
    row = {"this": budget.name, "period": starts_at, "percent": percent}
    if connection.execute(_TOLD, row).rowcount:
        telling.tell(connection, budget_threshold(budget, starts_at, spent, percent))


def _sums(
    connection: sa.Connection, asked: Collection[tuple[Budget, datetime]]
) -> dict[Purse, Decimal]:
    """What is spent, as sums have it. Those of one period are looked for together."""
    found: dict[Purse, Decimal] = {}
    together: defaultdict[tuple[datetime, datetime | None], list[Budget]] = defaultdict(list)
    for budget, starts_at in asked:
        if budget.batch_id is None:
            together[starts_at, budget.resets_at(starts_at)].append(budget)
        else:
            spent = connection.execute(sa.select(_spent(budget, starts_at))).scalar()
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
    """Of sums by day."""
    if starts_at > EPOCH:
        query = query.where(cost_days.c.start >= starts_at)
    return query if resets_at is None else query.where(cost_days.c.start < resets_at)


def _spent(budget: Budget, starts_at: datetime) -> sa.ScalarSelect[Any]:
    """As sums have it."""
    table = cost_days if budget.batch_id is None else cost_hours
    column = table.c
    query = sa.select(sa.func.sum(column.cost_usd)).where(*_covered(budget, column))
    if budget.batch_id is None:
        query = _within(query, starts_at, budget.resets_at(starts_at))
    return query.scalar_subquery()


def _fresh(
    budget: Budget, starts_at: datetime, before: datetime | None = None
) -> sa.ScalarSelect[Any]:
    """What no sum has yet."""
    column = ledger.c
    query = sa.select(sa.func.sum(column.cost_usd)).where(
        sa.text("NOT rolled"), column.at >= starts_at, *_covered(budget, column)
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


def _leased(budget: Budget, starts_at: datetime) -> sa.ScalarSelect[Any]:
    return (
        sa.select(sa.func.sum(leases.c.amount))
        .where(leases.c.budget == budget.name, leases.c.starts_at == starts_at)
        .scalar_subquery()
    )


_DEFINITION = sa.select(budgets.c.definition).where(budgets.c.name == sa.bindparam("wanted"))
_NEW_BUDGET = insert(budgets)
_PUT = _NEW_BUDGET.on_conflict_do_update(
    index_elements=[budgets.c.name],
    set_={
        "definition": _NEW_BUDGET.excluded.definition,
        "changed_at": _NEW_BUDGET.excluded.changed_at,
    },
)
_PERIOD = insert(budget_periods)
_KNOW = _PERIOD.on_conflict_do_nothing()
_HAVE_TO_ITSELF = _PERIOD.on_conflict_do_update(
    index_elements=list(budget_periods.primary_key.columns),
    set_={"told": budget_periods.c.told},
).returning(budget_periods.c.since)
_TOLD = (
    sa.update(budget_periods)
    .where(
        budget_periods.c.budget == sa.bindparam("this"),
        budget_periods.c.starts_at == sa.bindparam("period"),
        budget_periods.c.told < sa.bindparam("percent"),
    )
    .values(told=sa.bindparam("percent"))
)
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
