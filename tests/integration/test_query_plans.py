"""What is to go is found by an index, however much stays: or all who write would have to wait."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app.storage import Claim, IdempotencyRepository, RetentionRepository
from app.storage.deliveries import DeliveryFilter
from app.storage.tables import metadata
from tests.entries import book, entry
from tests.integration.calls import store
from tests.integration.test_retention import cancelled, urls

pytestmark = pytest.mark.each_database

NOW = datetime.now(UTC)

DISCOURAGED = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin")
"""What PostgreSQL does with tables as small as these, and does not with large ones."""

SMALL = {"leases", "ix_ledger_process_id"}
"""Tables, and indexes of some rows only, that stay so: here of entries that no sum has yet."""


@pytest.fixture
def executed(parts):
    """Statements that read, change or delete, and their parameters."""
    statements = []

    def note(connection, cursor, statement, parameters, context, many) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            statements.append((statement, parameters))

    sa.event.listen(parts.database.engine, "before_cursor_execute", note)
    yield statements
    sa.event.remove(parts.database.engine, "before_cursor_execute", note)


def scanned(connection: sa.Connection, statement: str, parameters) -> list[str]:
    """Tables that it goes through, row by row."""
    if connection.dialect.name == "sqlite":
        steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        begun = [each.detail.split() for each in steps]
        return [
            what
            for how, what, *by in begun
            if how == "SCAN" and what in metadata.tables and not SMALL & {what, *by}
        ]
    for each in DISCOURAGED:
        connection.exec_driver_sql(f"SET LOCAL {each} = off")
    explain = f"EXPLAIN (FORMAT JSON) {statement}"
    (found,) = connection.exec_driver_sql(explain, parameters).scalar_one()
    return [
        each["Relation Name"]
        for each in nodes(found["Plan"])
        if each["Node Type"].endswith("Scan")
        and "Relation Name" in each
        and not {"Index Cond", "Recheck Cond"} & each.keys()
        and not SMALL & {each["Relation Name"], each.get("Index Name")}
    ]


def nodes(plan: dict) -> Iterator[dict]:
    yield plan
    for each in plan.get("Plans", []):
        yield from nodes(each)


async def test_a_scan_is_noticed(parts):
    """Or the other test would prove nothing."""
    with parts.database.engine.connect() as connection:
        found = scanned(connection, "SELECT id FROM results WHERE confidence > 0.5", ())

    assert len(found) == 1


async def claim(parts) -> None:
    await IdempotencyRepository(parts.database).claim("shop", "key", Claim("f", "cls_1"))


async def release_unanswered(parts) -> None:
    await IdempotencyRepository(parts.database).release_unanswered(older_than_s=0)


async def delete_keys(parts) -> None:
    retention = RetentionRepository(parts.database)
    await retention.count_keys(NOW)
    await retention.delete_keys(NOW)


async def delete_results(parts) -> None:
    retention = RetentionRepository(parts.database)
    await retention.old_results(NOW, after="")
    await retention.delete_results(["cls_1", "cls_2"], NOW)


async def delete_entries(parts) -> None:
    retention = RetentionRepository(parts.database)
    await retention.old_entries(NOW, after="cal_")
    await retention.delete_entries(["cal_1", "cal_2"])


async def reprice(parts) -> None:
    """One call of a result whose cost was not known."""
    row = {"created_at": NOW, "completed_at": NOW}
    result_id = await store(parts, **row)
    await book(parts.database, entry(NOW, None, result_id=result_id, batch_id="bat_1"))
    assert (await parts.repricing.reprice(NOW - timedelta(days=1))).entries == 1


async def look_at_costs(parts) -> None:
    """Of a time, and of entries that no sum has: the index of these is small."""
    for by in ("day", "batch"):
        await parts.costs.report(by, since=NOW, until=NOW)


async def delete_a_batch(parts) -> None:
    """Its idempotency key, too."""
    batch_id = await cancelled(parts, urls(3))
    retention = RetentionRepository(parts.database)
    await retention.old_batches(NOW, after="")
    assert await retention.delete_batch(batch_id)


async def look_for_pictures(parts) -> None:
    await RetentionRepository(parts.database).needed(["0" * 64, "cls_1"], NOW)


async def send_events(parts) -> None:
    stored = parts.sent
    await stored.waiting()
    await stored.due("whk_1", NOW, limit=10)
    await stored.next_due("whk_1")
    await stored.miss_pending("whk_1", NOW)
    await stored.replay("whk_1", ["failed", "missed"], NOW, NOW, NOW)
    await stored.delete_of("whk_1")


async def look_for_deliveries(parts) -> None:
    await parts.sent.page(DeliveryFilter("shop", "whk_1"), before=None, limit=10)
    await parts.sent.page(DeliveryFilter("shop", subject="cls_1"), before=None, limit=10)


@pytest.mark.parametrize(
    "work",
    [
        claim,
        release_unanswered,
        delete_keys,
        delete_results,
        delete_entries,
        reprice,
        look_at_costs,
        delete_a_batch,
        look_for_pictures,
        send_events,
        look_for_deliveries,
    ],
    ids=lambda work: work.__name__,
)
async def test_no_table_is_scanned(parts, executed, work):
    await work(parts)
    with parts.database.engine.connect() as connection:
        found = {each: scanned(connection, each, values) for each, values in [*executed]}

    assert found
    assert {statement: tables for statement, tables in found.items() if tables} == {}
