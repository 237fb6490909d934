"""What is done to a webhook, or to what it is told of, holds for what waits or is under way."""

import asyncio

import pytest

from app.errors import StorageUnavailable
from app.settings_groups import WebhookSettings
from app.storage.webhooks import WebhookRepository
from app.webhooks.drain import LOOKED_EVERY_S
from tests.integration.calls import until
from tests.integration.webhook_calls import attempted, classify, get, sent_to, settled, subscribe
from tests.receiver import BROKEN, GONE

pytestmark = pytest.mark.each_database

HOUR = 3_600
SINCE = {"replay_since": "2026-01-01T00:00:00Z"}


@pytest.fixture
def settings(settings, inbox, other):
    how = WebhookSettings(schedule=(0, HOUR), jitter=0, at_once=2)
    places = (inbox.place, other.place)
    return settings.model_copy(update={"egress_allow": places, "webhooks": how})


async def test_what_is_told_after_it_is_enabled_is_sent(client, parts, inbox):
    """Though an attempt of before is still under way: it was gone, and is back."""
    made = await subscribe(client, inbox)
    inbox.gate.clear()
    inbox.answers.extend([GONE, BROKEN])
    await asyncio.gather(classify(client), classify(client))
    await inbox.got(2)
    await WebhookRepository(parts.database, parts.outbox).disable(
        (await parts.webhooks.find(made["id"])).row, "gone", parts.webhooks._clock()
    )
    await client.post(f"/webhooks/{made['id']}/enable", json=SINCE)
    late = await classify(client)
    inbox.gate.set()
    await until(lambda: late["id"] in {each["data"]["id"] for each in inbox.events})

    assert "missed" not in {each["state"] for each in await sent_to(client, made)}
    assert (await get(client, f"/webhooks/{made['id']}"))["status"] == "enabled"


async def test_the_old_place_does_not_disable_the_new_one(client, inbox, other):
    made = await subscribe(client, inbox)
    inbox.gate.clear()
    inbox.answers.append(GONE)
    await classify(client)
    await inbox.got(1)
    await client.patch(f"/webhooks/{made['id']}", json={"url": other.url()})
    inbox.gate.set()
    await attempted(client, made, 1)
    await classify(client)
    await other.got(1)
    now = await get(client, f"/webhooks/{made['id']}")

    assert (now["status"], now["failing_since"]) == ("enabled", None)


async def test_what_is_deleted_while_it_waits_is_not_told(client, inbox):
    """It was read from the database before."""
    made = await subscribe(client, inbox)
    inbox.gate.clear()
    results = [await classify(client) for _ in range(4)]
    await inbox.got(2)
    await asyncio.sleep(LOOKED_EVERY_S)
    waiting = {each["id"] for each in results} - {each["data"]["id"] for each in inbox.events}
    for each in waiting:
        await client.delete(f"/results/{each}")
    inbox.gate.set()
    await settled(client, made, *["delivered"] * 2)

    assert len(waiting) == 2
    assert not waiting & {each["data"]["id"] for each in inbox.events}


async def test_what_is_sent_again_by_hand_is_not_put_off_by_an_attempt_under_way(client, inbox):
    made = await subscribe(client, inbox)
    inbox.gate.clear()
    inbox.answers.append(BROKEN)
    await classify(client)
    await inbox.got(1)
    (delivery,) = await sent_to(client, made)
    again = await client.post(f"/deliveries/{delivery['id']}/redeliver")
    inbox.gate.set()
    (delivery,) = await settled(client, made, "delivered")

    assert again.status_code == 202
    assert [each["status"] for each in delivery["attempts"]] == [500, 204]


async def test_a_database_that_is_gone_for_a_moment_ends_no_attempt(
    client, parts, inbox, monkeypatch
):
    """Each event is posted once, and every attempt is on record."""
    made = await subscribe(client, inbox)
    inbox.gate.clear()
    await asyncio.gather(*(classify(client) for _ in range(4)))
    await inbox.got(2)
    down = True

    def failing(real):
        async def ask(*arguments, **options):
            if down:
                raise StorageUnavailable("gone")
            return await real(*arguments, **options)

        return ask

    for name in ("due", "record", "next_due"):
        monkeypatch.setattr(parts.delivery_rows, name, failing(getattr(parts.delivery_rows, name)))
    inbox.gate.set()
    await asyncio.sleep(1.5)
    down = False
    deliveries = await settled(client, made, *["delivered"] * 4)

    assert len(inbox.posts) == len({each.id for each in inbox.posts}) == 4
    assert [len(each["attempts"]) for each in deliveries] == [1] * 4


async def test_a_webhook_is_not_told_of_itself(client, inbox, other):
    made, listens = await subscribe(client, inbox), await subscribe(client, other)
    inbox.answers.append(GONE)
    await classify(client)
    told = await other.told("endpoint.disabled")
    await client.post(f"/webhooks/{made['id']}/enable", json=SINCE)
    await settled(client, made, "delivered")

    assert told["data"]["webhook_id"] == made["id"] != listens["id"]


async def test_tests_that_failed_are_not_replayed(client, inbox):
    made = await subscribe(client, inbox)
    inbox.answers.append(BROKEN)
    await client.post(f"/webhooks/{made['id']}/test")
    replayed = await client.post(
        f"/webhooks/{made['id']}/replay", params={"since": SINCE["replay_since"]}
    )

    assert replayed.json() == {"deliveries": 0}


async def test_callbacks_to_one_host_are_one_webhook(client, inbox):
    port = inbox.place.rpartition(":")[2]
    for place in (f"http://127.0.0.1:{port}/a", f"HTTP://127.0.0.1:{port}/b#c"):
        await classify(client, callback_url=place)
    await inbox.got(2)

    assert {each.path for each in inbox.posts} == {"/a", "/b"}
    sent = (await get(client, "/deliveries"))["deliveries"]
    assert len({each["webhook_id"] for each in sent}) == 1
