"""Two months of a busy service, stored as it would have stored them."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from app.result import Failure, Result, Timings, Usage
from app.storage import Database, TallyRepository, migrate
from app.storage.tallies import count_results
from tests.entries import book, entry

HOSTILE = "<img src=/x onerror=alert(1)>"
"""A class of this name has to stay text."""

CLASSES = {
    "flowers": {"rose": 6, "daisy": 4, "sunflower": 3, "dandelion": 2},
    "animals": {"cat": 5, "dog": 5, "bird": 2, "fish": 1, "horse": 1, HOSTILE: 1},
    "parts": {"screw": 3, "nut": 2, "washer": 2},
}
LATER = {"parts": {"screw": 1, "nut": 4, "washer": 2}}
"""What is asked about in the last three days."""

UNANSWERED = 9
"""Pictures that nobody could be asked about, in the bad hour."""

PER_HOUR = {"flowers": 8, "animals": 5, "parts": 4}
DAYS = 60

CALL_USD = Decimal("0.000585")


def bad_hour(now: datetime) -> datetime:
    """When calls were slow, and many failed."""
    return now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=7)


async def fill(url: str, now: datetime) -> None:
    """A database without anything: with results up to `now` and what they cost."""
    chance = random.Random(7)
    database = Database(url)
    await migrate(database)
    stored = list(_results(chance, now))
    await database.write(lambda connection: count_results(connection, stored))
    tallies = TallyRepository(database, clock=lambda: bad_hour(now))
    for _ in range(UNANSWERED):
        tallies.count_unanswered("shop", "flowers", "provider-unavailable")
    await tallies.roll()
    spent: dict[tuple[datetime, str], int] = {}
    for each in stored:
        if each.usage and not each.cached:
            hour = each.created_at.replace(minute=0, second=0, microsecond=0), each.domain
            spent[hour] = spent.get(hour, 0) + 1
    await book(
        database,
        *(
            entry(hour, str(CALL_USD * calls), domain=domain, answers=calls)
            for (hour, domain), calls in spent.items()
        ),
    )
    await database.close()


def _results(chance: random.Random, now: datetime) -> Iterator[Result]:
    for hours in range(DAYS * 24, -1, -1):
        hour = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours)
        long_ago, bad = hours > 48, hour == bad_hour(now)
        # Nothing happens at night; of what is shown by day few hours take less to sum.
        if not bad and (2 <= hour.hour < 4 or (long_ago and hour.hour % 4)):
            continue
        busy = 2.5 if long_ago else 0.3 + (bad or 7 <= hour.hour < 19) + 3 * (hours < 3)
        for domain, per_hour in PER_HOUR.items():
            for _ in range(chance.randint(0, round(2 * per_hour * busy))):
                at = hour + timedelta(seconds=chance.randrange(3600) if hours < 3 else 1800)
                if at < now:
                    yield _result(chance, domain, at, now)


def _result(chance: random.Random, domain: str, at: datetime, now: datetime) -> Result:
    bad = at.replace(minute=0, second=0, microsecond=0) == bad_hour(now)
    provider = chance.lognormvariate(6.6, 0.35) * (6 if bad else 1)
    wait = chance.lognormvariate(3, 1) if chance.random() < 0.2 else 0.0
    fetch = chance.lognormvariate(4.5, 0.5) if chance.random() < 0.6 else 0.0
    prepare = chance.lognormvariate(3.7, 0.3)
    facts = {
        "id": f"cls_{chance.getrandbits(64):x}",
        "domain": domain,
        "caller": "shop",
        "domain_version": "1",
        "created_at": at,
        "timings_ms": Timings(
            fetch=fetch,
            prepare=prepare,
            wait=wait,
            provider=provider,
            total=fetch + prepare + wait + provider,
        ),
    }
    if chance.random() < (0.3 if bad else 0.012):
        kind = chance.choice(["provider-timeout"] * 3 + ["provider-unavailable", "bad-image"])
        failure = Failure(type=f"/problems/{kind}", detail="No answer.")
        return Result(**facts, status="failed", error=failure)
    lately = now - at < timedelta(days=3)
    classes = (LATER if lately else {}).get(domain, CLASSES[domain])
    true = chance.choices(list(classes), list(classes.values()))[0]
    confidence = min(chance.betavariate(6, 0.5), 1.0)
    right = chance.random() < confidence
    return Result(
        **facts,
        status="accepted" if confidence >= 0.7 else "needs_review",
        predicted_class=true if right else chance.choice(list(classes)),
        confidence=confidence,
        cached=chance.random() < 0.1,
        usage=Usage(prompt_tokens=chance.randint(190, 230), completion_tokens=5, cost_usd=CALL_USD),
        expected=true if chance.random() < 0.3 else None,
        expected_source="random_review" if confidence >= 0.95 else "request",
    )
