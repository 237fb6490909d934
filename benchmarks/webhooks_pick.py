"""Time to find the next deliveries to send, among everything that waits and everything done."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.identifiers import DELIVERY, EVENT, RESULT, WEBHOOK, new_id
from app.storage import Database, DeliveryRepository, Outbox, migrate
from app.storage.tables import deliveries, events
from benchmarks.load import percentile
from tests.postgres_server import PostgresServer

PICKS, PAGE = 500, 50
FEW = 20
INSERTED_AT_ONCE = 5_000
LATER = timedelta(hours=1)


async def pick(pending: int, folder: Path) -> dict[str, Any]:
    """On both databases, before and after the planner has statistics of the table."""
    found = {"sqlite": await measure(Database(f"sqlite:///{folder}/pick.db"), pending)}
    server = PostgresServer()
    try:
        found["postgresql"] = await measure(Database(server.url(server.new_database())), pending)
    finally:
        server.close()
    return found


async def measure(database: Database, pending: int) -> dict[str, Any]:
    """Milliseconds."""
    await migrate(database)
    webhooks = await fill(database, pending)
    stored = DeliveryRepository(database, Outbox(database, None))
    found: dict[str, Any] = {"pending": 2 * pending + FEW}
    for analyzed in (False, True):
        if analyzed:
            await database.write(lambda each: each.execute(sa.text("ANALYZE")).rowcount)
        found["analyzed" if analyzed else "not_analyzed"] = {
            name: await _picks(stored, webhook_id) for name, webhook_id in webhooks.items()
        }
    await database.close()
    return found


async def fill(database: Database, pending: int) -> dict[str, str]:
    """One webhook with many due deliveries, one with as many that are due later, and one with few,
    to which as many were delivered. Return their ids."""
    now = datetime.now(UTC)
    ids = {name: new_id(WEBHOOK) for name in ("due", "held", "other")}
    number = await database.write(_add_event)
    for name, state, due_at, count in (
        ("due", "pending", now, pending),
        ("held", "pending", now + LATER, pending),
        ("other", "delivered", now, pending),
        ("other", "pending", now, FEW),
    ):
        row = {
            "webhook_id": ids[name],
            "caller": "shop",
            "event": number,
            "state": state,
            "due_at": due_at,
            "ended_at": None if state == "pending" else now,
        }
        for first in range(0, count, INSERTED_AT_ONCE):
            some = min(INSERTED_AT_ONCE, count - first)
            await _add(database, [{**row, "id": new_id(DELIVERY)} for _ in range(some)])
    return ids


async def _add(database: Database, rows: list[dict[str, Any]]) -> None:
    await database.write(lambda each: each.execute(sa.insert(deliveries), rows).rowcount)


def _add_event(connection: sa.Connection) -> int:
    event = {
        "id": new_id(EVENT),
        "type": "result.created",
        "subject": new_id(RESULT),
        "body": "{" + " " * 1_500 + "}",
        "created_at": datetime.now(UTC),
    }
    statement = sa.insert(events).returning(events.c.number)
    return int(connection.execute(statement, [event]).scalar_one())


async def _picks(stored: DeliveryRepository, webhook_id: str) -> dict[str, float]:
    took = []
    for _ in range(PICKS):
        began = time.perf_counter()
        await stored.due(webhook_id, datetime.now(UTC), limit=PAGE)
        took.append((time.perf_counter() - began) * 1000)
    return {"p50_ms": percentile(took, 0.5), "p99_ms": percentile(took, 0.99)}
