"""What is to go is found by an index, however much stays: or all who write would have to wait."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app.evaluation import Wanted
from app.reviews import Decision
from app.storage import (
    Claim,
    IdempotencyRepository,
    RetentionRepository,
    Reviewer,
    ToReview,
    queueing,
)
from app.storage.audit import COMMAND_LINE
from app.storage.delivery_rows import DeliveryFilter
from app.storage.tables import metadata
from tests.clock import Clock
from tests.entries import book, entry
from tests.integration.calls import store
from tests.integration.test_retention import cancelled, urls

pytestmark = pytest.mark.each_database

NOW = datetime.now(UTC)

DISCOURAGED = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin")
"""What PostgreSQL does with tables as small as these, and does not with large ones."""

SMALL = {
    *("budgets", "leases", "tally_news", "calibrations", "lessons", "erasures"),
    *("ix_ledger_process_id", "ix_alerts_rule_subject", "ix_examples_aside"),
}
"""Tables, and indexes of some rows only, that stay so: of what no sum has yet, of alerts that
stand, of calibrations, which labels that grow by a fifth bring, of fifty lessons a domain, of the
callers that were erased within a day."""


READ_WHOLE = re.compile(
    r"SELECT domains\.name, domains\.definition \nFROM domains$"
    r"|SELECT webhooks\.id, .* \nFROM webhooks \nWHERE webhooks\.kind = "
)
"""All domains and all subscriptions, every two seconds, whatever else is done: commands change
them, too."""


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
    await parts.idempotency.claim("shop", "key", Claim("f", "cls_1"))


async def hold_keys(parts) -> None:
    """Until it is taken over from who says no more that it is at it."""
    clock, first = Clock(), Claim("f", "cls_1")
    keys = IdempotencyRepository(parts.database, clock=clock)
    with keys.holding(first):
        await keys.renew()
    await keys.claim("shop", "key", first)
    clock.ahead(minutes=1)
    await keys.claim("shop", "key", Claim("f", "cls_2"))
    await keys.release("shop", "key", first)


async def release_unanswered(parts) -> None:
    await parts.idempotency.release_unanswered()


async def delete_keys(parts) -> None:
    retention = RetentionRepository(parts.database)
    await retention.count_keys(NOW)
    await retention.delete_keys(NOW)


async def delete_results(parts) -> None:
    retention = RetentionRepository(parts.database)
    await retention.old_results(NOW, after="")
    await retention.delete_results(["cls_1", "cls_2"], NOW)


async def erase_a_result(parts) -> None:
    result_id = await store(parts)
    await parts.erasing.result(result_id, caller="anonymous", by=COMMAND_LINE)


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


async def look_at_quality(parts) -> None:
    await store(parts, created_at=NOW, completed_at=NOW)
    await parts.tallies.roll()
    await parts.tallies.by_domain(NOW - timedelta(days=3), domain="flowers")
    for caller in (None, "shop"):
        await parts.qualities.report(caller=caller)


async def evaluate(parts) -> None:
    await store(parts, created_at=NOW, completed_at=NOW, expected="rose")
    for wanted in (
        Wanted("flowers"),
        Wanted("flowers", caller="anonymous", provider="local", until=NOW + timedelta(days=1)),
    ):
        made = await parts.evaluations.judge(wanted, caller="anonymous")
        await parts.evaluations.judge(wanted, caller="anonymous", compare_with=made.id)
        await parts.evaluations.delete(made.id, caller=wanted.caller)
    await parts.evaluations.page("flowers", caller="anonymous", before=made.id, limit=2)


async def delete_a_batch(parts) -> None:
    """Its idempotency key, too."""
    batch_id = await cancelled(parts, urls(3))
    retention = RetentionRepository(parts.database)
    await retention.old_batches(NOW, after="")
    assert await retention.delete_batch(batch_id)


async def look_for_pictures(parts) -> None:
    await RetentionRepository(parts.database).needed(["0" * 64, "cls_1"], NOW)


async def send_events(parts) -> None:
    stored = parts.delivery_rows
    await stored.waiting()
    await stored.due("whk_1", NOW, limit=10)
    await stored.next_due("whk_1")
    await stored.miss_pending("whk_1", NOW)
    await stored.replay("whk_1", ["failed", "missed"], NOW, NOW, NOW)
    await stored.delete_of("whk_1")


async def look_for_deliveries(parts) -> None:
    await parts.delivery_rows.page(DeliveryFilter("shop", "whk_1"), before=None, limit=10)
    await parts.delivery_rows.page(DeliveryFilter("shop", subject="cls_1"), before=None, limit=10)


async def look_for_alerts(parts) -> None:
    stored = parts.alerting.stored
    turn = await stored.take_turn("prc_1", NOW, free_after=timedelta(0))
    await stored.advance(turn, lambda _: ())
    await stored.standing()
    await stored.changed_since(NOW)
    await stored.mark_told("people", [])
    retention = RetentionRepository(parts.database)
    await retention.old_alerts(NOW, after="alr_")
    await retention.delete_alerts(["alr_1", "alr_2"])


async def review(parts) -> None:
    """Two copies of a picture, of which one is skipped first."""
    ids = [await store(parts, status="needs_review", confidence=0.5) for _ in range(2)]
    waiting = [ToReview(each, "needs_review", "unsure", 1, 0.2, "0" * 64) for each in ids]
    await parts.database.write(queueing(waiting))
    for who in (Reviewer("ada"), Reviewer("eve", "anonymous", "flowers")):
        await parts.reviews.next(who, 10, claim=False)
        await parts.reviews.next(who, 10)
    for action in ("skip", "confirm", "reopen", "reject"):
        decision = Decision(action, "ada", is_operator=True)
        await parts.reviews.decide(ids[0], decision, caller=None)
    await parts.reviews.history(ids[1], caller=None)
    await parts.results.set_expected(ids[1], "rose", caller=None, teller="shop")


async def look_at_reviews(parts) -> None:
    await parts.reviews.count_waiting()
    for caller, domain in ((None, None), ("shop", "flowers")):
        for since in (None, NOW):
            await parts.reviews.statistics(caller=caller, domain=domain, since=since, until=None)


@pytest.mark.parametrize(
    "work",
    [
        claim,
        hold_keys,
        release_unanswered,
        delete_keys,
        delete_results,
        erase_a_result,
        delete_entries,
        reprice,
        look_at_costs,
        look_at_quality,
        evaluate,
        delete_a_batch,
        look_for_pictures,
        send_events,
        look_for_deliveries,
        look_for_alerts,
        review,
        look_at_reviews,
    ],
    ids=lambda work: work.__name__,
)
async def test_no_table_is_scanned(parts, executed, work):
    await work(parts)
    with parts.database.engine.connect() as connection:
        found = {each: scanned(connection, each, values) for each, values in [*executed]}

    assert found
    scans = {
        each: tables for each, tables in found.items() if tables and not READ_WHOLE.match(each)
    }
    assert scans == {}
