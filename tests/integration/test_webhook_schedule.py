"""Days of failures in a moment: when it is tried again, given up, disabled, and made up for."""

from dataclasses import replace
from datetime import datetime, timedelta

import httpx2
import pytest

from app.egress import Allowance, EgressClient
from app.main import create_app
from app.settings import WebhookSettings
from app.storage.webhooks import WebhookRepository
from app.telemetry.trace import Tracing
from app.webhooks import Deliveries, Sender
from tests.clock import Clock
from tests.integration.webhook_calls import classify, get, sent_to, subscribe
from tests.receiver import BROKEN, receiver, said

pytestmark = pytest.mark.each_database

WAITS = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Of Standard Webhooks: 0, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h."""


class Hands:
    """Run what they are asked to, at once; where it wants to be run again, time passes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def register(self, name, task) -> None:
        self._task = task

    async def kick_again(self, name: str, webhook_id: str) -> None:
        while (wait_s := await self._task(webhook_id)) is not None:
            self._clock.ahead(seconds=wait_s)


@pytest.fixture
async def inbox():
    async with receiver() as there:
        there.always = BROKEN
        yield there


@pytest.fixture
def settings(settings, inbox, other):
    assert settings.webhooks == WebhookSettings()
    return settings.model_copy(update={"egress_allow": (inbox.place, other.place)})


@pytest.fixture
async def parts(clock, parts):
    """With deliveries that are made when a test wants them, by its clock."""
    deliveries = Deliveries(
        parts.outbox,
        parts.delivery_rows,
        WebhookRepository(parts.database, parts.outbox),
        parts.webhooks,
        Sender(
            EgressClient(allow=Allowance.parse(parts.settings.egress_allow)), Tracing(), clock=clock
        ),
        Hands(clock),
        parts.metrics,
        parts.settings.webhooks,
        kicks=False,
        clock=clock,
        monotonic=clock.monotonic,
        linger_s=0,
    )
    yield replace(parts, deliveries=deliveries)
    await deliveries.stop(seconds=1)


@pytest.fixture
async def client(parts):
    transport = httpx2.ASGITransport(create_app(parts), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


async def pass_until(parts, clock, moment: datetime | None = None) -> None:
    """Whatever is due until then is sent when it is; None: until nothing waits."""
    while True:
        due = [each.due_at for each in await parts.delivery_rows.waiting()]
        if not due or (moment is not None and min(due) > moment):
            break
        clock.now = max(clock.now, min(due))
        await parts.deliveries.look()
    clock.now = max(clock.now, moment or clock.now)


def moments(delivery) -> list[datetime]:
    return [datetime.fromisoformat(each["at"]) for each in delivery["attempts"]]


async def webhook_of(client, made):
    return await get(client, f"/webhooks/{made['id']}")


class TestSchedule:
    async def test_ten_attempts_in_three_days(self, client, parts, clock, inbox):
        """Each so long after the one before as the standard has it, a fifth more or less."""
        made = await subscribe(client, inbox)
        await classify(client)
        await pass_until(parts, clock)
        (delivery,) = await sent_to(client, made)
        at = moments(delivery)
        waits = [(later - at[n]).total_seconds() for n, later in enumerate(at[1:])]

        assert delivery["state"] == "failed"
        assert len(at) == len(inbox.posts) == 10
        assert all(
            0.8 * wait <= found <= 1.2 * wait for found, wait in zip(waits, WAITS[1:], strict=True)
        )
        assert 0.8 * 75.6 <= (at[-1] - at[0]) / timedelta(hours=1) <= 1.2 * 75.6
        assert sum(WAITS) / 3_600 == pytest.approx(75.6, abs=0.1)
        assert (await webhook_of(client, made))["status"] == "enabled"

    async def test_not_all_come_back_at_once(self, client, parts, clock, inbox):
        """Though so many failures have it left alone for a while."""
        made = await subscribe(client, inbox)
        for _ in range(4):
            await classify(client)
        await pass_until(parts, clock, clock.now + timedelta(minutes=10))
        due = {each["next_attempt_at"] for each in await sent_to(client, made)}

        assert len(due) == 4

    async def test_each_attempt_has_its_own_time(self, client, parts, clock, inbox):
        """By which it is signed; the rest is the same."""
        made = await subscribe(client, inbox)
        await classify(client)
        await pass_until(parts, clock)
        (delivery,) = await sent_to(client, made)

        assert [each.timestamp for each in inbox.posts] == [
            int(each.timestamp()) for each in moments(delivery)
        ]
        assert all(each.is_signed_with(made["secret"]) for each in inbox.posts)
        assert len({(each.id, each.body) for each in inbox.posts}) == 1

    async def test_a_receiver_that_comes_back_gets_it(self, client, parts, clock, inbox):
        made = await subscribe(client, inbox)
        await classify(client)
        await pass_until(parts, clock, clock.now + timedelta(hours=20))
        inbox.always = said()
        await pass_until(parts, clock)
        (delivery,) = await sent_to(client, made)

        assert delivery["state"] == "delivered"
        assert 6 <= len(delivery["attempts"]) < 10
        assert (await webhook_of(client, made))["failing_since"] is None

    async def test_sent_again_by_hand_it_has_three_days_more(self, client, parts, clock, inbox):
        made = await subscribe(client, inbox)
        await classify(client)
        await pass_until(parts, clock)
        (failed,) = await sent_to(client, made)
        await client.post(f"/deliveries/{failed['id']}/redeliver")
        inbox.answers.extend([BROKEN] * 9 + [said()])
        await pass_until(parts, clock, clock.now + timedelta(hours=12))
        (waits,) = await sent_to(client, made)

        assert waits["state"] == "pending"
        assert len(waits["attempts"]) > 14


class TestHopeless:
    """Nothing but failures for five days."""

    async def fail_for(self, client, parts, clock, **passed: float) -> list[str]:
        """A picture a day; returns their ids."""
        ids, until = [], clock.now + timedelta(**passed)
        while clock.now < until:
            ids.append((await classify(client))["id"])
            await pass_until(parts, clock, min(until, clock.now + timedelta(days=1)))
        return ids

    async def test_it_is_disabled_and_made_up_for(self, client, parts, clock, inbox, other):
        """Not before; another webhook is told; what waits is missed, and sent when it is enabled
        and that is asked for, each once."""
        await subscribe(client, other, event_types=["endpoint.disabled"])
        made = await subscribe(client, inbox, event_types=["result.created"])
        began = clock.now
        ids = await self.fail_for(client, parts, clock, days=4.9)
        early = await webhook_of(client, made)
        ids += await self.fail_for(client, parts, clock, days=1.5)
        late = await webhook_of(client, made)
        tried = len(inbox.posts)
        ids.append((await classify(client))["id"])
        await pass_until(parts, clock)
        deliveries = await sent_to(client, made)
        states = [each["state"] for each in deliveries]
        metrics = (await client.get("/metrics")).text

        assert early["status"] == "enabled"
        assert datetime.fromisoformat(early["failing_since"]) - began < timedelta(minutes=1)
        assert (late["status"], late["reason"]) == ("disabled", "Nothing but failures for 5 days.")
        after = datetime.fromisoformat(late["disabled_at"]) - began
        assert timedelta(days=5) <= after <= timedelta(days=6.4)
        assert other.events[0]["type"] == "endpoint.disabled"
        assert other.events[0]["data"]["webhook_id"] == made["id"]
        assert len(other.posts) == 1
        assert set(states) == {"failed", "missed"}
        assert len(inbox.posts) == tried
        assert 'classifier_webhooks_disabled_total{why="failing"} 1.0' in metrics

        inbox.always = said()
        replay = {"replay_since": deliveries[0]["created_at"]}
        clock.ahead(seconds=1)
        answer = await client.post(f"/webhooks/{made['id']}/enable", json=replay)
        await pass_until(parts, clock)
        again = [each["data"]["id"] for each in inbox.events[tried:]]

        assert (answer.json()["status"], answer.json()["failing_since"]) == ("enabled", None)
        assert sorted(again) == sorted(ids)
        assert {each["state"] for each in await sent_to(client, made)} == {"delivered"}

    async def test_a_success_between_begins_the_five_days_anew(self, client, parts, clock, inbox):
        made = await subscribe(client, inbox)
        began = clock.now
        await self.fail_for(client, parts, clock, days=4)
        inbox.answers.append(said())
        await classify(client)
        await parts.deliveries.look()
        await self.fail_for(client, parts, clock, days=4)
        webhook = await webhook_of(client, made)

        assert clock.now - began >= timedelta(days=8)
        assert webhook["status"] == "enabled"
        since = datetime.fromisoformat(webhook["failing_since"])
        assert since - began >= timedelta(days=3.9)

    async def test_five_days_of_silence_are_none_of_failures(self, client, parts, clock, inbox):
        """One failure, and a success long after: there was nothing to send between."""
        made = await subscribe(client, inbox)
        inbox.always = said()
        inbox.answers.append(BROKEN)
        await classify(client)
        await pass_until(parts, clock)
        clock.ahead(days=30)
        inbox.answers.append(BROKEN)
        await classify(client)
        await pass_until(parts, clock)

        assert (await webhook_of(client, made))["status"] == "enabled"
        assert {each["state"] for each in await sent_to(client, made)} == {"delivered"}

    async def test_callbacks_are_not_disabled(self, client, parts, clock, inbox, other):
        """To one host of a caller: their pictures have nothing to do with each other."""
        await subscribe(client, other, event_types=["endpoint.disabled"])
        for _ in range(7):
            await classify(client, callback_url=inbox.url())
            await self.settle(client)
            await pass_until(parts, clock, clock.now + timedelta(days=1))
        inbox.always = said()
        last = await classify(client, callback_url=inbox.url())
        await self.settle(client)
        await pass_until(parts, clock, clock.now + timedelta(minutes=1))
        (delivery,) = (await get(client, "/deliveries", subject=last["id"]))["deliveries"]

        assert delivery["state"] == "delivered"
        assert other.posts == []

    @staticmethod
    async def settle(client) -> None:
        """Until what was accepted last is answered."""
        (last,) = (await get(client, "/results", limit=1))["results"]
        answered = await get(client, f"/results/{last['id']}", wait=10)
        assert answered["status"] == "accepted"
