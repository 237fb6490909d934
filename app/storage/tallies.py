"""Counts of results, by minute, hour, day and month. All SQL for them is here.

A transaction inserts its counts as news, so that no shared row is locked meanwhile. The news are
added to the sums later. One statement reads both, and so sees one state of the database: news that
move into a sum meanwhile are counted once.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from app.errors import StorageUnavailable
from app.moment import LATEST, TIME_UNITS, TimeUnit, began, round_up
from app.result import Result
from app.storage.database import Database
from app.storage.driver_insert import DriverInsert
from app.storage.putting import putting
from app.storage.tables import UtcTime, tallies, tally_news
from app.tally import Tally, label_counts

MINUTES_KEPT, HOURS_OF_CALLERS_KEPT = timedelta(hours=26), timedelta(days=100)
"""The other levels are kept forever."""

ROLLER = 0x74616C6C
"""Key of the PostgreSQL advisory lock for adding news to sums: `tall`."""

AT_ONCE = 2_000
"""News that are added in one transaction."""

ALL = ""
"""The caller of sums over all callers: no key has this name."""


class Span(NamedTuple):
    """A time range, and the level at which it is read. `until` is exclusive."""

    level: TimeUnit
    since: datetime
    until: datetime


class TallyRow(NamedTuple):
    """Counts of a part or all of the period at `start` whose length is `level`: there may be
    several rows for one period."""

    level: TimeUnit
    start: datetime
    domain: str
    tally: Tally


Counted = tuple[datetime, str, str]
"""The key of a tally: a minute, a caller, a domain."""


class TallyRepository:
    def __init__(self, database: Database, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._unanswered: defaultdict[Counted, Tally] = defaultdict(Tally)

    async def read(
        self, spans: Sequence[Span], *, caller: str | None = None, domain: str | None = None
    ) -> list[TallyRow]:
        """News count as minutes. `caller`, `domain`: None: all. Raises StorageUnavailable."""
        values: dict[str, Any] = {"caller": caller or ALL, "domain": domain}
        for number, (level, since, until) in enumerate(spans):
            values |= {f"level{number}": level, f"since{number}": since, f"until{number}": until}
        query = _query(len(spans), caller is None, domain is None)

        def unit(connection: sa.Connection) -> list[TallyRow]:
            rows = connection.execute(query, values)
            return [
                TallyRow(level, UtcTime.moment(start), domain, Tally.parse(counts))
                for level, start, domain, counts in rows
            ]

        return await self._database.read(unit) if spans else []

    async def by_domain(
        self,
        since: datetime,
        until: datetime | None = None,
        *,
        caller: str | None = None,
        domain: str | None = None,
    ) -> dict[str, Tally]:
        """Sums over a time range, exact to the minute where minutes are still kept, else to the
        hour. Raises StorageUnavailable."""
        spans = spans_of(since, until, exact_from=self._clock() - MINUTES_KEPT)
        found: defaultdict[str, Tally] = defaultdict(Tally)
        for row in await self.read(spans, caller=caller, domain=domain):
            found[row.domain].add(row.tally)
        return dict(found)

    def count_unanswered(self, caller: str, domain: str, slug: str) -> None:
        """Stored with the next `roll`: the database may be unavailable now."""
        counted = began(self._clock(), "minute"), caller, domain
        self._unanswered[counted].add(Tally.of_unanswered(slug))

    async def roll(self) -> None:
        """Add the news to the sums. Raises StorageUnavailable."""
        await self._tell_unanswered()
        if await self._database.scalar(_HAS_NEWS):
            while await self._database.write(_roll) == AT_ONCE:
                pass

    async def _tell_unanswered(self) -> None:
        told, self._unanswered = self._unanswered, defaultdict(Tally)
        try:
            if told:
                await self._database.write(lambda connection: _tell(connection, told.items()))
        except StorageUnavailable:
            for counted, tally in told.items():
                self._unanswered[counted].add(tally)
            raise

    async def aclose(self) -> None:
        """Otherwise the counts of commands would wait for a running service."""
        with suppress(StorageUnavailable):
            await self.roll()

    async def forget(self) -> None:
        """Delete minutes, and hours of single callers, that are too old. Raises
        StorageUnavailable."""
        for statement, kept in (
            (_FORGET_MINUTES, MINUTES_KEPT),
            (_FORGET_HOURS, HOURS_OF_CALLERS_KEPT),
        ):
            old = {"before": self._clock() - kept}
            await self._database.change(statement, old)


def count_results(connection: sa.Connection, stored: Iterable[Result]) -> None:
    """Within the transaction that stores them. Pending results are not counted."""
    news: defaultdict[Counted, Tally] = defaultdict(Tally)
    for each in stored:
        if not each.is_pending:
            news[_minute_of(each), each.caller, each.domain].add(Tally.of(each))
    _tell(connection, news.items())


def count_label(connection: sa.Connection, before: Result, after: Result) -> None:
    """Within the transaction that changes a result's label."""
    tally = Tally(label_counts(before, -1))
    tally.add(Tally(label_counts(after, 1)))
    _tell(connection, [((_minute_of(after), after.caller, after.domain), tally)])


def spans_of(since: datetime, until: datetime | None, *, exact_from: datetime) -> list[Span]:
    """Splits a time range into spans, with whole days and hours read as such; before `exact_from`
    it begins and ends on the hour."""
    since = began(since, "minute" if since >= exact_from else "hour")
    until = LATEST if until is None else began(until, "minute" if until >= exact_from else "hour")
    first_hour, last_hour = round_up(since, "hour"), began(until, "hour")
    first_day, last_day = round_up(since, "day"), began(until, "day")
    if first_hour > last_hour:
        found = [Span("minute", since, until)]
    elif first_day > last_day:
        found = [
            Span("minute", since, first_hour),
            Span("hour", first_hour, last_hour),
            Span("minute", last_hour, until),
        ]
    else:
        found = [
            Span("minute", since, first_hour),
            Span("hour", first_hour, first_day),
            Span("day", first_day, last_day),
            Span("hour", last_day, last_hour),
            Span("minute", last_hour, until),
        ]
    return [each for each in found if each.since < each.until]


def _minute_of(result: Result) -> datetime:
    """When it was answered: a result that waited long still counts as new."""
    return began(result.completed_at or result.created_at, "minute")


def _tell(connection: sa.Connection, news: Iterable[tuple[Counted, Tally]]) -> None:
    rows = [
        (UtcTime.stored(start), caller, domain, tally.text())
        for (start, caller, domain), tally in news
        if tally
    ]
    _NEWS.run(connection, rows)


def _roll(connection: sa.Connection) -> int:
    """Returns how many news were added; 0 also while another process is adding some."""
    if connection.dialect.name == "postgresql" and not connection.execute(_TURN).scalar():
        return 0
    rows = connection.execute(_TAKE, {"most": AT_ONCE}).all()
    minutes: defaultdict[Counted, Tally] = defaultdict(Tally)
    for start, caller, domain, counts in rows:
        minutes[start, caller, domain].add(Tally.parse(counts))
    sums: defaultdict[tuple[TimeUnit, datetime], defaultdict[tuple[str, str], Tally]]
    sums = defaultdict(lambda: defaultdict(Tally))
    for (start, caller, domain), tally in minutes.items():
        for level in TIME_UNITS:
            of = sums[level, began(start, level)]
            for each in (ALL, caller):
                of[each, domain].add(tally)
    for (level, start), new in sums.items():
        _add(connection, level, start, new)
    return len(rows)


def _add(
    connection: sa.Connection,
    level: TimeUnit,
    start: datetime,
    new: Mapping[tuple[str, str], Tally],
) -> None:
    """`new`: by caller and domain."""
    callers, domains = ({each[place] for each in new} for place in (0, 1))
    of = {"level": level, "start": start}
    these = {**of, "callers": sorted(callers), "domains": sorted(domains)}
    for caller, domain, counts in connection.execute(_KNOWN, these):
        if (caller, domain) in new:
            new[caller, domain].add(Tally.parse(counts))
    rows = (
        {**of, "caller": caller, "domain": domain, "counts": tally.text()}
        for (caller, domain), tally in new.items()
    )
    connection.execute(_PUT, list(rows))


@cache
def _query(spans: int, all_callers: bool, all_domains: bool) -> Any:
    """Built once: SQLAlchemy takes as long to build it as a database to run it."""
    return sa.union_all(
        *(
            _part(table, number, all_callers, all_domains)
            for number in range(spans)
            for table in (tallies, tally_news)
        )
    )


def _part(table: sa.Table, number: int, all_callers: bool, all_domains: bool) -> sa.Select[Any]:
    column, level = table.c, sa.bindparam(f"level{number}", type_=sa.String)
    start = sa.type_coerce(column.start, sa.BigInteger)
    conditions = [
        column.start >= sa.bindparam(f"since{number}"),
        column.start < sa.bindparam(f"until{number}"),
    ]
    if table is tallies:
        conditions.append(column.level == level)
    if table is tallies or not all_callers:
        conditions.append(column.caller == sa.bindparam("caller"))
    if not all_domains:
        conditions.append(column.domain == sa.bindparam("domain"))
    shown = sa.literal("minute") if table is tally_news else column.level
    return sa.select(shown.label("level"), start, column.domain, column.counts).where(*conditions)


_NEWS = DriverInsert(tally_news, ("start", "caller", "domain", "counts"))
_HAS_NEWS = sa.select(sa.exists().select_from(tally_news))
_TURN = sa.select(sa.func.pg_try_advisory_xact_lock(ROLLER))
_TAKE = (
    sa.delete(tally_news)
    .where(
        tally_news.c.number.in_(
            sa.select(tally_news.c.number).order_by(tally_news.c.number).limit(sa.bindparam("most"))
        )
    )
    .returning(*(tally_news.c[name] for name in ("start", "caller", "domain", "counts")))
)
_KNOWN = sa.select(tallies.c.caller, tallies.c.domain, tallies.c.counts).where(
    tallies.c.level == sa.bindparam("level"),
    tallies.c.caller.in_(sa.bindparam("callers", expanding=True)),
    tallies.c.start == sa.bindparam("start"),
    tallies.c.domain.in_(sa.bindparam("domains", expanding=True)),
)
_PUT = putting(tallies)
_EVERYBODY = sa.select(tallies.c.caller).where(tallies.c.level == "month").distinct()
"""Restricts the deletion to an index range per caller; otherwise it would scan all rows that
stay."""
_FORGET = sa.delete(tallies).where(
    tallies.c.caller.in_(_EVERYBODY), tallies.c.start < sa.bindparam("before")
)
_FORGET_MINUTES = _FORGET.where(tallies.c.level == "minute")
_FORGET_HOURS = _FORGET.where(tallies.c.level == "hour", tallies.c.caller != ALL)
