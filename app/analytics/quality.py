"""Counts, confidence, accuracy and speed: of a period, and of each of its intervals."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from app.analytics.quality_report import DomainQuality, Drift, Point, QualityReport, TotalQuality
from app.errors import InvalidRequest
from app.moment import DAY, HOUR, LATEST, MINUTE, TimeUnit, began, within_reach
from app.storage import TallyRepository
from app.storage.tallies import MINUTES_KEPT, Span, TallyRow
from app.tally import Tally

BASELINE = 28 * DAY
"""The time before a period that it is compared with for drift."""

MOST_POINTS, MOST_OF_DOMAINS = 400, 2_000
"""Points of one series, and of the series of all domains together."""

MINUTES_UP_TO, HOURS_UP_TO, DAYS_UP_TO = 3 * HOUR, 4 * DAY, 100 * DAY
"""The longest period shown by this interval unless another one is requested."""


class Qualities:
    def __init__(self, rows: TallyRepository, *, clock: Callable[[], datetime]) -> None:
        self._rows = rows
        self._clock = clock

    async def report(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        by: TimeUnit | None = None,
        domain: str | None = None,
        caller: str | None = None,
    ) -> QualityReport:
        """Report on whole minutes, hours, days or months, by default as the length of the period
        suggests; without `since`, on the last 24 hours. `domain`, `caller`: None: all. Raises
        InvalidRequest, StorageUnavailable."""
        now = self._clock()
        since = now - DAY if since is None else within_reach(since)
        ends = now if until is None else within_reach(until)
        by = by or _suitable(since, ends, now)
        _check(since, ends, by, now)
        since, until = began(since, by), None if until is None else began(ends, by)
        baseline = Span("day", began(since - BASELINE, "day"), began(since, "day"))
        rows = await self._rows.read(
            [Span(by, since, until or LATEST), baseline], caller=caller, domain=domain
        )
        minutes = max((min(ends, now) - since) / MINUTE, 1.0)
        # With many domains this takes as long as many requests, so it runs in a thread.
        total, domains = await asyncio.to_thread(_reckoned, rows, since, by, minutes, baseline)
        return QualityReport(since=since, until=until, by=by, total=total, domains=domains)


def _reckoned(
    rows: Iterable[TallyRow], since: datetime, by: TimeUnit, minutes: float, baseline: Span
) -> tuple[TotalQuality, list[DomainQuality]]:
    points: defaultdict[str, defaultdict[datetime, Tally]]
    points = defaultdict(lambda: defaultdict(Tally))
    before: defaultdict[str, Tally] = defaultdict(Tally)
    moments: defaultdict[datetime, Tally] = defaultdict(Tally)
    for row in rows:
        if row.start < since:
            before[row.domain].add(row.tally)
        else:
            start = began(row.start, by)
            points[row.domain][start].add(row.tally)
            moments[start].add(row.tally)
    totals = {name: Tally.total(each.values()) for name, each in points.items()}
    domains, left = [], MOST_OF_DOMAINS
    for name, tally in sorted(totals.items(), key=lambda each: (-each[1].results, each[0])):
        left -= len(points[name])
        of_domain = DomainQuality.over(
            minutes,
            tally,
            domain=name,
            drift=Drift.between(tally, before[name], baseline.since, baseline.until),
            series=None if left < 0 else _series(points[name]),
        )
        domains.append(of_domain)
    together = Tally.total(totals.values())
    return TotalQuality.over(minutes, together, series=_series(moments)), domains


def _series(points: Mapping[datetime, Tally]) -> list[Point]:
    return [Point.at(*each) for each in sorted(points.items())]


def _suitable(since: datetime, ends: datetime, now: datetime) -> TimeUnit:
    length = ends - since
    if length <= MINUTES_UP_TO and since >= now - MINUTES_KEPT:
        return "minute"
    return "hour" if length <= HOURS_UP_TO else "day" if length <= DAYS_UP_TO else "month"


def _check(since: datetime, ends: datetime, by: TimeUnit, now: datetime) -> None:
    if by == "minute" and since < now - MINUTES_KEPT:
        raise InvalidRequest(f"Minutes are kept for {MINUTES_KEPT // HOUR} hours: ask for hours.")
    unit = {"minute": MINUTE, "hour": HOUR, "day": DAY, "month": 28 * DAY}[by]
    if (min(ends, now) - since) / unit > MOST_POINTS:
        raise InvalidRequest(f"These are more than {MOST_POINTS:,} {by}s: ask for longer ones.")
