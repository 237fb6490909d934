"""Copies of one picture, decided by several processes at once, on PostgreSQL."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial

import sqlalchemy as sa

from app.errors import ReviewDecided
from app.identifiers import RESULT, new_id
from app.result import Result
from app.reviews import Decision
from app.reviews.deciding import change_of
from app.storage import (
    Database,
    Outbox,
    ResultRepository,
    ReviewChanges,
    ToReview,
    migrate,
    queueing,
)

COPIES, PROCESSES = 40, 6
CLAIM = timedelta(minutes=5)
NOW = datetime.now(UTC)


async def fill(database: Database) -> list[str]:
    results, ids = ResultRepository(database, Outbox(database, None)), []
    for _ in range(COPIES):
        result = Result(
            id=new_id(RESULT),
            domain="flowers",
            predicted_class="rose",
            confidence=0.5,
            status="needs_review",
            caller="anonymous",
            domain_version="1",
            created_at=NOW,
        )
        waits = ToReview(result.id, result.status, "unsure", 1, 0.2, "0" * 64)
        await results.insert(result, queueing([waits]))
        ids.append(result.id)
    return ids


async def decide(url: str, result_id: str, reviewer: str) -> str:
    database = Database(url)
    judge = partial(change_of, Decision("confirm", reviewer), now=NOW, claim=CLAIM)
    changes = ReviewChanges(database, Outbox(database, None))
    try:
        await database.ping()
        await changes.change(result_id, judge, caller=None)
    except ReviewDecided:
        return "decided"
    finally:
        await database.close()
    return "ok"


async def test_nobody_waits_for_whoever_waits_for_him(postgres_url):
    database = Database(postgres_url)
    await migrate(database)
    ids = await fill(database)
    said = await asyncio.gather(
        *(decide(postgres_url, each, each[-9:]) for each in ids[-1 : -1 - PROCESSES : -1])
    )
    deadlocks = sa.text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    found = await database.read(lambda connection: connection.execute(deadlocks).scalar())
    await database.close()

    assert Counter(said) == {"ok": 1, "decided": PROCESSES - 1}
    assert found == 0
