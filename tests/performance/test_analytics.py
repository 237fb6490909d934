"""The cost of a report on a million results."""

from datetime import UTC, datetime, timedelta
from itertools import product

import httpx2
import sqlalchemy as sa

from app.main import create_app
from app.moment import DAY, HOUR, began
from app.result import Result
from app.storage.tables import tallies
from app.storage.tallies import ALL, count_results
from app.tally import CONFIDENCE_EDGES, STAGES, Tally
from tests.processor_time import processor_time

BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
DOMAINS, CALLERS = 5, 4
IN_AN_HOUR = 114
"""Results: a million in the year."""


def _typical(results: int) -> str:
    """The sums of a busy time: each stage had 15 to 30 different durations, and every class and
    every confidence occurred."""
    tally = Tally(
        {
            "results": {"accepted": results * 9 // 10, "needs_review": results // 10},
            "classes": {f"class {number}": results // 5 for number in range(5)},
            "confidence": {f"{edge:g}": results // 13 for edge in CONFIDENCE_EDGES},
            "errors": {"provider-timeout": 1, "provider-unavailable": 1},
            "labelled": {"request": results // 20},
            "right": {"request": results // 22},
            "tokens": {"prompt": results * 200, "completion": results * 5},
        }
    )
    for stage in STAGES:
        tally.add(Tally({stage: {str(80 + each): results // 20 for each in range(20)}}))
    return tally.text()


def _fill(connection: sa.Connection) -> None:
    """As if all new results had been added to the sums."""
    for level, length, times in (
        ("hour", HOUR, 365 * 24),
        ("day", DAY, 365),
        ("month", 31 * DAY, 12),
    ):
        all_together = IN_AN_HOUR * length // HOUR // DOMAINS
        texts = {caller: _typical(all_together // CALLERS) for caller in map(str, range(CALLERS))}
        texts[ALL] = _typical(all_together)
        rows = [
            {
                "level": level,
                "caller": caller,
                "start": began(BEGAN + number * length, level),
                "domain": f"domain {domain}",
                "counts": text,
            }
            for number, domain, (caller, text) in product(
                range(times), range(DOMAINS), texts.items()
            )
        ]
        connection.execute(sa.insert(tallies), rows)


def _news(connection: sa.Connection) -> None:
    for number in range(200):
        at = BEGAN + timedelta(days=364, seconds=number)
        result = Result(
            id=f"cls_{number}",
            domain="domain 1",
            status="accepted",
            predicted_class="class 1",
            confidence=0.97,
            caller="0",
            domain_version="1",
            created_at=at,
        )
        count_results(connection, [result])


VIEWS = {"2025-12-30T12:00:00Z": 36, "2025-10-01T00:00:00Z": 92, "2025-01-01T00:00:00Z": 12}
"""36 hours, 92 days, a year by month."""


async def test_a_million_results_are_told_of_within_50_ms(parts):
    """Processor time, including SQLite's work, since the machine is shared. The best of ten; with
    results that are not in any sum yet."""
    await parts.database.write(_fill)
    await parts.database.write(_news)
    transport = httpx2.ASGITransport(create_app(parts))
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
        for since, points in VIEWS.items():
            query = {"since": since, "until": "2026-01-01T00:00:00Z"}
            took_s = []
            for _ in range(10):
                with processor_time() as taken:
                    answer = await client.get("/analytics", params=query)
                took_s.append(taken.s)
            found = answer.json()

            assert [len(each["series"]) for each in found["domains"]] == [points] * DOMAINS
            assert min(took_s) < 0.05, (since, min(took_s))
