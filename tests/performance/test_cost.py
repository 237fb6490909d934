"""The cost of a report on a year of costs."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product

import httpx2
import sqlalchemy as sa

from app.main import create_app
from app.storage.tables import SPENT_BY, SUMS, cost_days, cost_hours
from tests.entries import book, entry
from tests.processor_time import processor_time

BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
COMBINATIONS = [
    {"caller": f"caller {caller}", "domain": f"domain {domain}"}
    for caller, domain in product(range(5), range(2))
]
IN_AN_HOUR = 12
"""Calls of each combination: a million in the year."""

NOTHING = {name: Decimal(0) if name.endswith("_usd") else 0 for name in SUMS}


def _sums(calls: int, step: timedelta, count: int, **batch: str) -> list[dict]:
    names = dict.fromkeys(SPENT_BY, "some") | batch
    sums = NOTHING | {"calls": calls, "asked": calls, "cost_usd": Decimal(calls)}
    return [
        {**names, **sums, **each, "start": BEGAN + number * step}
        for number in range(count)
        for each in COMBINATIONS
    ]


def _fill(connection: sa.Connection) -> None:
    """As if every entry had been added to the sums."""
    hours = _sums(IN_AN_HOUR, timedelta(hours=1), 365 * 24, batch_id="")
    connection.execute(sa.insert(cost_hours), hours)
    connection.execute(sa.insert(cost_days), _sums(24 * IN_AN_HOUR, timedelta(days=1), 365))


async def test_a_year_by_day_is_told_within_50_ms(parts):
    """Processor time, including SQLite's work, since the machine is shared. The best of ten; with
    entries that are not in any sum yet."""
    await parts.database.write(_fill)
    fresh = (entry(BEGAN + timedelta(days=364, seconds=number)) for number in range(200))
    await book(parts.database, *fresh, rolled=False)
    transport = httpx2.ASGITransport(create_app(parts))
    query = {"since": BEGAN.isoformat(), "until": "2025-12-31T13:00:00Z"}
    took_s = []
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
        for _ in range(10):
            with processor_time() as taken:
                answer = await client.get("/analytics/cost", params=query)
            took_s.append(taken.s)
        found = answer.json()

    assert found["calls"] == (364 * 24 + 13) * 10 * IN_AN_HOUR + 200
    assert len(found["groups"]) == 365
    assert min(took_s) < 0.05
