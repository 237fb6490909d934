"""Reading what calls cost: the sums, and ledger entries not summed yet. All SQL that reads costs is
here.

One statement reads both, and so sees one state of the database: an entry that moves into a sum
meanwhile is counted once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Literal

import sqlalchemy as sa

from app.moment import EPOCH, LATEST, began, round_up
from app.storage.database import Database
from app.storage.tables import (
    IS_UNSUMMED,
    KINDS,
    SPENT_BY,
    SUMS,
    TOKENS,
    Usd,
    UtcTime,
    cost_days,
    cost_hours,
    ledger,
)

Grouping = Literal["day", "hour", "domain", "model", "deployment", "provider", "caller", "batch"]

MOST_GROUPS = 1_000

BASIS = timedelta(days=7)
"""The time on which a forecast is based."""

_TIMES = ("day", "hour")
_HOUR, _DAY = 3_600_000_000, 86_400_000_000  # microseconds, as UtcTime stores them


@dataclass(frozen=True, slots=True)
class Spending:
    """
    Attributes:
        since, until: whole hours; `until` None: no end.
        domain, caller: None: all.
    """

    since: datetime
    until: datetime | None = None
    domain: str | None = None
    caller: str | None = None


@dataclass(frozen=True, slots=True)
class Sums:
    """As in the tables: `asked` to `cascade` are answers, by how they came about."""

    calls: int
    estimated_calls: int
    unpriced_calls: int
    asked: int
    kept: int
    shared: int
    duplicate: int
    cascade: int
    prompt_tokens: int
    image_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost_usd: Decimal
    estimated_usd: Decimal
    saved_kept_usd: Decimal
    saved_shared_usd: Decimal
    saved_duplicate_usd: Decimal
    saved_cascade_usd: Decimal

    @property
    def answers(self) -> int:
        return self.asked + self.kept + self.shared + self.duplicate + self.cascade


@dataclass(frozen=True, slots=True)
class Pace:
    """Rate of spending, for a forecast.

    Attributes:
        month_usd: since the month began.
        lately_usd: within `BASIS`.
        first: hour of the first entry, or a moment before `BASIS`; None: there is none.
    """

    month_usd: Decimal
    lately_usd: Decimal
    first: datetime | None


Key = str | datetime | None


@dataclass(frozen=True, slots=True)
class Spent:
    """
    Attributes:
        groups: by key, None for calls outside a batch: most expensive first, times in order.
    """

    total: Sums
    groups: list[tuple[Key, Sums]]
    more_groups: bool
    pace: Pace


class CostRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def spent(self, wanted: Spending, by: Grouping, now: datetime) -> Spent:
        """`now` is the moment for which the pace is computed. Raises StorageUnavailable."""
        began_hour, began_day = began(now - BASIS, "hour"), began(now - BASIS, "day")
        month = began(now, "month")
        times = {"ever": EPOCH, "month": month, "began": began_hour, "began_day": began_day}
        values = _times(wanted) | times | {"domain": wanted.domain, "caller": wanted.caller}

        def unit(connection: sa.Connection) -> Spent:
            rows = connection.execute(_query(by), values).all()
            month, lately, oldest, first = rows[0][:4]
            pace = Pace(
                month or Decimal(0),
                lately or Decimal(0),
                first if oldest is None or oldest >= began_day else oldest,
            )
            found = [row[4:] for row in rows]
            (_, total), *groups = [(key or None, _sums(sums)) for _, key, *sums in found]
            listed = groups[:MOST_GROUPS]
            return Spent(total, listed, len(groups) > len(listed), pace)

        return await self._database.read(unit)


def _times(wanted: Spending) -> dict[str, datetime]:
    """Whole days come from the daily sums, the hours before and after from the hourly ones."""
    since, until = wanted.since, LATEST if wanted.until is None else wanted.until
    first, last = round_up(since, "day"), began(until, "day")
    if first >= last:
        first = last = until
    return {"since": since, "first_day": first, "last_day": last, "until": until}


@cache
def _query(by: Grouping) -> sa.Select[Any]:
    """The total of all groups, then each group; every row starts with the pace. Built once:
    SQLAlchemy takes as long to build and cache-match it as a database to run it."""
    fresh = _fresh()
    parts = sa.union_all(*_parts(by, fresh)).subquery()
    groups = sa.select(parts.c.key, *_added(parts)).group_by(parts.c.key).cte("groups")
    pace = sa.select(*_pace(fresh)).subquery()

    def order(column: Any) -> list[Any]:
        return [column.key] if by in _TIMES else [column.cost_usd.desc(), column.key]

    listed = sa.select(groups).order_by(*order(groups.c)).limit(MOST_GROUPS + 1).subquery()
    rows = sa.union_all(
        sa.select(sa.literal(1).label("place"), listed),
        sa.select(sa.literal(0), sa.null(), *_added(groups)),
    ).subquery()
    joined = pace.join(rows, sa.true())
    return sa.select(pace, rows).select_from(joined).order_by(rows.c.place, *order(rows.c))


def _added(table: Any) -> list[Any]:
    return [sa.func.sum(table.c[name]).label(name) for name in SUMS]


def _parts(by: Grouping, fresh: Any) -> Iterator[sa.Select[Any]]:
    """The rows to be summed."""
    yield _part(fresh, by, "since", "until")
    if by in ("hour", "batch"):  # not in the daily sums
        yield _part(cost_hours, by, "since", "until")
    else:
        yield _part(cost_hours, by, "since", "first_day")
        yield _part(cost_days, by, "first_day", "last_day")
        yield _part(cost_hours, by, "last_day", "until")


def _part(table: Any, by: Grouping, since: str, until: str) -> sa.Select[Any]:
    column = table.c
    if by in _TIMES:
        key = column.start if by == "hour" else _whole(column.start, _DAY)
    else:
        key = column.batch_id if by == "batch" else column[by]
    sums = (column[name] for name in SUMS)
    return sa.select(key.label("key"), *sums).where(
        *_since(table, since), column.start < sa.bindparam(until)
    )


def _since(table: Any, since: str) -> list[sa.ColumnElement[bool]]:
    return [table.c.start >= sa.bindparam(since), *_filters(table.c)]


def _filters(column: Any) -> Iterator[sa.ColumnElement[bool]]:
    for name in ("domain", "caller"):
        wanted = sa.bindparam(name, type_=sa.Text)
        yield sa.cast(wanted, sa.Text).is_(None) | (column[name] == wanted)


def _pace(fresh: Any) -> Iterator[Any]:
    """Spent this month, spent since `began`, the oldest day or hour, and the oldest hour on or
    after the day of `began`."""

    def spent(table: Any, since: str) -> Any:
        found = (sa.select(each.c.cost_usd).where(*_since(each, since)) for each in (table, fresh))
        both = sa.union_all(*found).subquery()
        return sa.select(sa.func.sum(both.c.cost_usd)).scalar_subquery()

    def first(table: Any, since: str) -> Any:
        """Reads one row through an index, not all."""
        found = (
            sa.select(each.c.start).where(*_since(each, since)).order_by(each.c.start).limit(1)
            for each in (table, fresh)
        )
        rows = (sa.select(each.scalar_subquery().label("start")) for each in found)
        both = sa.union_all(*rows).subquery()
        return sa.select(sa.func.min(both.c.start)).scalar_subquery()

    yield spent(cost_days, "month").label("month")
    yield spent(cost_hours, "began").label("lately")
    yield first(cost_days, "ever").label("oldest")
    yield first(cost_hours, "began_day").label("first")


def _fresh() -> sa.CTE:
    """Entries not summed yet, each as if it were the sums of its hour."""
    column = ledger.c
    kinds = {each: column.kind == each for each in KINDS}
    cost = sa.func.coalesce(column.cost_usd, sa.literal(Decimal(0), Usd))
    added: dict[str, Any] = {
        "calls": _where(kinds["asked"], 1),
        "estimated_calls": _where(column.estimated, 1),
        "unpriced_calls": _where(column.cost_usd.is_(None), 1),
        **{each: _where(is_it, column.answers) for each, is_it in kinds.items()},
        **{name: column[name] for name in TOKENS},
        "cost_usd": cost,
        "estimated_usd": _where(column.estimated, cost),
        **{f"saved_{each}_usd": _where(kinds[each], column.saved_usd) for each in KINDS[1:]},
    }
    return (
        sa.select(
            _whole(column.at, _HOUR).label("start"),
            *(column[name] for name in SPENT_BY),
            sa.func.coalesce(column.batch_id, "").label("batch_id"),
            *(added[name].label(name) for name in SUMS),
        )
        .where(IS_UNSUMMED)
        .cte("fresh")
    )


def _where(condition: Any, value: Any) -> Any:
    """`value` where the condition holds, else 0."""
    return sa.case((condition, value), else_=sa.literal_column("0"))


def _whole(moment: Any, unit: int) -> Any:
    number = sa.type_coerce(moment, sa.BigInteger)
    return sa.type_coerce(number - number % unit, UtcTime)


def _sums(values: Sequence[Any]) -> Sums:
    """Converts back to integers: PostgreSQL's sums are not."""
    named: dict[str, Any] = dict(zip(SUMS, values, strict=True))
    for name, value in named.items():
        named[name] = (value or Decimal(0)) if name.endswith("_usd") else int(value or 0)
    return Sums(**named)
