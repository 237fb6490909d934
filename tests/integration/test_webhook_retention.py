"""What was sent to webhooks is kept for a while, and forgotten with what it was about."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app.storage.tables import attempts, deliveries, events, webhooks
from tests.integration.calls import is_problem, store, until, upload
from tests.integration.test_batches import create, ended
from tests.loopback import loopback, reply
from tests.pictures import jpeg

pytestmark = pytest.mark.each_database

NOTHING_LISTENS = "http://127.0.0.1:9/"
"""Refuses connections: what is sent there is pending for days."""


def after(**time: float) -> datetime:
    return datetime.now(UTC) + timedelta(**time)


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"egress_allow": ("127.0.0.1",)})


async def subscribe(client, url: str = NOTHING_LISTENS, **values) -> str:
    created = await client.post("/webhooks", json={"url": url, **values})
    assert created.status_code == 201, created.text
    return created.json()["id"]


async def sent(client, **query) -> list[dict]:
    return (await client.get("/deliveries", params=query)).json()["deliveries"]


async def count(parts) -> dict[str, int]:
    tables = {each.name: each for each in (webhooks, events, deliveries, attempts)}
    return await parts.database.read(
        lambda connection: {
            name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for name, table in tables.items()
        }
    )


async def all_are(client, state: str) -> bool:
    return all(each["state"] == state for each in await sent(client))


async def test_what_was_delivered_is_kept_for_thirty_days(client, parts):
    async with loopback({"/": reply(b"")}) as receiver:
        await subscribe(client, receiver.url("/"))
        for _ in range(3):
            await store(parts)
        await until(lambda: all_are(client, "delivered"))
    early = await parts.retention.sweep(now=after(days=29.9))
    counted = await parts.retention.sweep(now=after(days=30.1), dry_run=True)
    kept = await count(parts)
    late = await parts.retention.sweep(now=after(days=30.1))

    assert not early
    assert counted.deliveries == late.deliveries == 3
    assert kept == {"webhooks": 1, "events": 3, "deliveries": 3, "attempts": 3}
    assert await count(parts) == {"webhooks": 1, "events": 0, "deliveries": 0, "attempts": 0}


async def test_what_is_to_be_sent_stays(client, parts):
    await subscribe(client)
    await store(parts)
    swept = await parts.retention.sweep(now=after(days=100))

    assert swept.deliveries == 0
    assert await all_are(client, "pending")


async def test_an_event_stays_while_another_webhook_waits_for_it(client, parts):
    await subscribe(client)
    async with loopback({"/": reply(b"")}) as receiver:
        await subscribe(client, receiver.url("/"))
        await store(parts)
        await until(lambda: sent(client, state="delivered"))
    await parts.retention.sweep(now=after(days=31))
    (left,) = await sent(client)

    assert left["state"] == "pending"
    assert (await count(parts))["events"] == 1


async def test_a_place_for_callbacks_goes_when_nothing_is_known_of_it(client, parts):
    async with loopback({"/cb": reply(b"")}) as receiver:
        asked = upload(callback_url=receiver.url("/cb"))
        await client.post("/classify", files=asked)
        await until(lambda: sent(client, state="delivered"))
        before = await count(parts)
        await parts.retention.sweep(now=after(days=31))

    assert (before["webhooks"], (await count(parts))["webhooks"]) == (1, 0)


async def test_an_erased_result_is_told_nobody_any_more(client, parts):
    webhook_id = await subscribe(client)
    result_id = await store(parts)
    (pending,) = await sent(client)
    await client.delete(f"/results/{result_id}")
    again = await client.post(f"/deliveries/{pending['id']}/redeliver")
    replayed = await client.post(
        f"/webhooks/{webhook_id}/replay", params={"since": "2026-01-01T00:00:00Z"}
    )
    await parts.deliveries.drain(webhook_id)

    assert is_problem(again, 404, "delivery-not-found")
    assert replayed.json() == {"deliveries": 0}
    assert (await count(parts))["events"] == 0


async def test_what_is_forgotten_before_it_is_sent_is_given_up(client, parts):
    async with loopback({"/": reply(b"")}) as receiver:
        webhook_id = await subscribe(client, receiver.url("/"))
        receiver.gate.clear()
        result_id = await store(parts)
        await until(lambda: receiver.asked)  # the drain is at it
        others = [await store(parts) for _ in range(20)]
        await parts.retention._stored.delete_results(others, after(days=1))
        receiver.gate.set()
        await until(lambda: sent(client, state="delivered", subject=result_id))

        async def nothing_waits() -> bool:
            return not await sent(client, state="pending")

        await until(nothing_waits)
    states = {each["subject"]: each["state"] for each in await sent(client)}

    assert webhook_id
    assert states[result_id] == "delivered"
    assert "failed" in {states[each] for each in others}


async def test_results_that_go_by_their_age_take_their_events(client, settings, parts):
    await subscribe(client)
    await store(parts)
    policy = settings.retention.model_copy(update={"results": 1.0})
    parts.retention._policy = policy
    swept = await parts.retention.sweep(now=after(days=2))
    bodies = await parts.database.read(lambda each: each.execute(sa.select(events.c.body)).all())

    assert swept.results == 1
    assert bodies == [(None,)]


async def test_a_deleted_batch_takes_its_events(client, parts):
    await subscribe(client)
    created = await create(client, ("1.jpg", jpeg()))
    await ended(client, created["id"])
    assert (await client.delete(f"/batches/{created['id']}")).status_code == 204
    told = await parts.database.read(
        lambda each: each.execute(sa.select(events.c.type, events.c.body)).all()
    )

    assert {each.type for each in told} >= {"result.created", "batch.completed"}
    assert {each.body for each in told} == {None}


async def test_a_deleted_webhook_takes_all_that_was_sent(client, parts):
    webhook_id = await subscribe(client)
    other = await subscribe(client)
    for _ in range(3):
        await store(parts)
    assert (await client.delete(f"/webhooks/{webhook_id}")).status_code == 204
    await store(parts)

    assert {each["webhook_id"] for each in await sent(client)} == {other}
    assert (await count(parts))["events"] == 4
