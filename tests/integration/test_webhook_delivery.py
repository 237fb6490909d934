"""How events are sent: tried again, held back, given up, and never where they must not go."""

import asyncio
import signal
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from itertools import pairwise

import httpx2
import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from structlog.testing import capture_logs

from app.classification import Question
from app.egress import EgressClient
from app.images import Upload
from app.main import create_app
from app.parts import build_parts
from app.providers import registry
from app.settings import WebhookSettings
from app.storage.audit import COMMAND_LINE
from app.storage.delivery_rows import DeliveryFilter
from tests.fakes import ENTRY_POINTS
from tests.integration.calls import PICTURE, is_problem, until
from tests.integration.webhook_calls import (
    attempted,
    classify,
    get,
    sent_to,
    settled,
    subscribe,
)
from tests.receiver import BROKEN, GONE, said
from tests.security.urls import FakeNetwork

pytestmark = pytest.mark.each_database

NEVER = 3_600
"""Seconds until the next attempt, for tests that look at the first."""

SINCE = {"since": "2026-01-01T00:00:00Z"}


@pytest.fixture
def how() -> WebhookSettings:
    return WebhookSettings(schedule=(0, 0.1, 0.1), jitter=0)


@pytest.fixture
def settings(settings, inbox, other, how):
    places = (inbox.place, other.place, "127.0.0.1:1")
    return settings.model_copy(update={"egress_allow": places, "webhooks": how})


class TestAttempts:
    async def test_what_arrives_is_on_record(self, client, inbox):
        inbox.always = said("202 Accepted", body=b"thanks")
        made = await subscribe(client, inbox)
        given = await classify(client)
        (delivery,) = await settled(client, made, "delivered")
        (attempt,) = delivery["attempts"]

        assert delivery["subject"] == given["id"]
        assert delivery["event_id"] == inbox.posts[0].id
        assert delivery["url"] == inbox.url()
        assert delivery["next_attempt_at"] is None
        assert delivery["ended_at"] >= delivery["created_at"]
        assert (attempt["number"], attempt["status"], attempt["error"]) == (1, 202, None)
        assert attempt["answer"] == "thanks"
        assert attempt["duration_ms"] > 0
        assert await get(client, f"/deliveries/{delivery['id']}") == delivery

    async def test_what_fails_is_tried_again(self, client, inbox):
        """The same event, signed anew."""
        inbox.answers.append(BROKEN)
        made = await subscribe(client, inbox)
        await classify(client)
        (delivery,) = await settled(client, made, "delivered")
        first, second = inbox.posts
        failing = (await get(client, f"/webhooks/{made['id']}"))["failing_since"]

        assert (first.id, first.body) == (second.id, second.body)
        assert all(each.verify(made["secret"]) for each in inbox.posts)
        assert second.timestamp >= first.timestamp
        assert [each["number"] for each in delivery["attempts"]] == [1, 2]
        assert [each["status"] for each in delivery["attempts"]] == [500, 204]
        assert delivery["attempts"][0]["answer"] == "we are broken"
        assert failing is None

    async def test_after_the_last_attempt_it_has_failed(self, client, inbox):
        inbox.always = BROKEN
        made = await subscribe(client, inbox)
        await classify(client)
        (delivery,) = await settled(client, made, "failed")
        webhook = await get(client, f"/webhooks/{made['id']}")

        assert len(delivery["attempts"]) == len(inbox.posts) == 3
        assert delivery["next_attempt_at"] is None
        assert webhook["failing_since"] == delivery["attempts"][0]["at"]
        assert webhook["status"] == "enabled"

    @pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Moved", "304 Not Modified"])
    async def test_a_redirect_is_a_failure(self, client, inbox, other, status):
        """And is not followed."""
        inbox.always = said(status, f"Location: {other.url()}")
        made = await subscribe(client, inbox)
        await classify(client)
        (delivery,) = await settled(client, made, "failed")

        assert {each["status"] for each in delivery["attempts"]} == {int(status[:3])}
        assert other.posts == []

    async def test_what_an_answer_holds_is_cut_and_cleaned(self, client, inbox):
        """Two kilobytes, nothing that a terminal obeys, nothing of the webhook's own headers."""
        evil = b"a\0b\x1b[31mc\x7f\xc2\x9b\xe2\x80\xaed\xff\ttoken-4711\r\n"
        inbox.always = said("500 No", body=evil + b"x" * 10_000)
        made = await subscribe(client, inbox, send={"X-Token": "token-4711"})
        await classify(client)
        delivery = await attempted(client, made, 1)
        answer = delivery["attempts"][0]["answer"]

        assert answer.startswith("ab[31mcd\ufffd\t***\nxxx")
        assert 1_900 < len(answer) <= 2_048

    async def test_headers_of_a_few_characters_make_no_long_answers(self, client, inbox):
        inbox.always = said("500 No", body=b"*" * 5_000)
        stars = {f"X-{number}": "*" for number in range(20)}
        made = await subscribe(client, inbox, send=stars)
        await classify(client)
        delivery = await attempted(client, made, 1)

        assert len(delivery["attempts"][0]["answer"]) <= 2_048

    async def test_an_endless_answer_is_let_go(self, client, inbox):
        inbox.always = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            + (b"400\r\n" + b"x" * 1_024 + b"\r\n") * 100
        )
        made = await subscribe(client, inbox)
        await classify(client)
        (delivery,) = await settled(client, made, "delivered")

        assert len(delivery["attempts"][0]["answer"]) == 2_048


class TestGone:
    async def test_it_is_disabled_at_once(self, client, inbox, other):
        """And whoever listens is told; what waits for it is missed."""
        inbox.always = GONE
        told = await subscribe(client, other, event_types=["endpoint.disabled"])
        made = await subscribe(client, inbox)
        await classify(client)
        event = await other.told("endpoint.disabled")
        await classify(client)
        webhook = await get(client, f"/webhooks/{made['id']}")
        (first, *_, last) = await sent_to(client, made)
        metrics = (await client.get("/metrics")).text

        assert webhook["status"] == "disabled"
        assert "410" in webhook["reason"]
        assert webhook["disabled_at"] is not None
        assert other.posts[0].verify(told["secret"])
        assert event["link"] == f"/webhooks/{made['id']}"
        assert event["data"]["webhook_id"] == made["id"]
        assert event["data"]["url"] == inbox.url()
        assert event["data"]["reason"] == webhook["reason"]
        assert [each["status"] for each in first["attempts"]] == [410]
        assert (last["state"], last["attempts"]) == ("missed", [])
        assert len(inbox.posts) == 1
        assert 'classifier_webhooks_disabled_total{why="gone"} 1.0' in metrics

    async def test_a_callback_that_is_gone_is_no_more_tried(self, client, inbox):
        """But its host is told of other pictures."""
        inbox.answers.append(GONE)
        for path in ("/a", "/b"):
            await classify(client, callback_url=inbox.url(path))
            await inbox.got(1 if path == "/a" else 2)

        async def states() -> list[str]:
            found = (await get(client, "/deliveries"))["deliveries"]
            return [each["state"] for each in found]

        async def over() -> bool:
            return "pending" not in await states()

        await until(over)
        assert await states() == ["delivered", "failed"]


class TestRetryAfter:
    @pytest.fixture
    def how(self):
        return WebhookSettings(schedule=(0, 60, NEVER), jitter=0, max_retry_after=7_200)

    @pytest.mark.parametrize("status", ["429 Slow", "503 Busy", "500 Broken"])
    @pytest.mark.parametrize(
        ("asked", "seconds"),
        [
            ("600", 600),
            ("date", 1_800),
            ("5", 60),
            ("1000000", 7_200),
            ("999999999999", 60),
            ("soon", 60),
            ("-5", 60),
            ("Wed, 99 Foo 2026 25:61:00 GMT", 60),
        ],
    )
    async def test_it_is_tried_no_earlier(self, client, inbox, status, asked, seconds):
        """Nor ever earlier than it would be anyway; up to a limit, and nonsense is not heard."""
        began, value = datetime.now(UTC), asked
        if asked == "date":
            value = format_datetime(datetime.now(UTC) + timedelta(seconds=1_800), usegmt=True)
        inbox.always = said(status, f"Retry-After: {value}")
        made = await subscribe(client, inbox)
        await classify(client)
        delivery = await attempted(client, made, 1)
        again = datetime.fromisoformat(delivery["next_attempt_at"])

        assert delivery["state"] == "pending"
        assert seconds - 2 <= (again - began).total_seconds() <= seconds + 30


class TestUnreachable:
    async def test_why_is_on_record(self, client):
        made = await subscribe(client, "https://127.0.0.1:1/")
        delivery = (await client.post(f"/webhooks/{made['id']}/test")).json()
        (attempt,) = delivery["attempts"]

        assert (attempt["error"], attempt["status"]) == ("connect", None)
        assert attempt["answer"]

    async def test_what_is_not_http_is_told(self, client, inbox):
        inbox.always = b"SSH-2.0-OpenSSH_9.6\r\n"
        made = await subscribe(client, inbox)
        delivery = (await client.post(f"/webhooks/{made['id']}/test")).json()

        assert delivery["attempts"][0]["error"] == "protocol"


class TestHanging:
    @pytest.fixture
    def how(self):
        return WebhookSettings(schedule=(0, NEVER), timeout=1.5)

    async def test_it_is_given_up_and_holds_up_nobody(self, client, inbox, other):
        inbox.gate.clear()
        slow, quick = await subscribe(client, inbox), await subscribe(client, other)
        await classify(client)
        await inbox.got(1)
        await other.got(1)
        (meanwhile,) = await sent_to(client, slow)
        delivery = await attempted(client, slow, 1)

        assert meanwhile["attempts"] == []
        assert delivery["attempts"][0]["error"] == "timeout"
        assert 1_400 < delivery["attempts"][0]["duration_ms"] < 4_000
        await settled(client, quick, "delivered")


class TestPolicy:
    """Which addresses may be connected to is looked at for every attempt."""

    @pytest.fixture
    def how(self):
        return WebhookSettings(schedule=(0, 0.1, NEVER), jitter=0)

    @pytest.fixture
    def network(self, monkeypatch):
        """Says that a name leads to a public address, and then that it does not."""
        answers = [["93.184.216.34"], ["10.9.8.7"], ["93.184.216.34", "169.254.169.254"]]
        network = FakeNetwork({"resolve": {"hooks.example.com": answers}})
        egress = partial(EgressClient, resolver=network.resolve, connector=network)
        monkeypatch.setattr("app.parts.ground.EgressClient", egress)
        return network

    async def test_a_name_that_turns_private_is_not_gone_to(self, network, parts, client):
        made = await subscribe(client, "https://hooks.example.com/in")
        tested = await client.post(f"/webhooks/{made['id']}/test")
        await classify(client)
        delivery = await attempted(client, made, 2)

        assert tested.json()["state"] == "delivered"
        assert [each["error"] for each in delivery["attempts"]] == ["refused", "refused"]
        assert "10.9.8.7" not in str(delivery)
        assert network.connected == ["93.184.216.34"]

    async def test_a_name_that_leads_nowhere_is_told(self, network, parts, client):
        made = await subscribe(client, "https://unknown.example.com/in")
        tested = await client.post(f"/webhooks/{made['id']}/test")

        assert tested.json()["attempts"][0]["error"] == "lookup"
        assert network.connected == []


class TestPace:
    @pytest.fixture
    def how(self):
        return WebhookSettings(schedule=(0, NEVER), at_once=3)

    async def test_so_many_are_sent_at_once(self, client, inbox, other):
        """To each webhook for itself."""
        inbox.gate.clear()
        made = await subscribe(client, inbox)
        await asyncio.gather(*(classify(client) for _ in range(10)))
        await inbox.got(3)
        await subscribe(client, other)
        await classify(client)
        await other.got(1)
        held = len(inbox.posts)
        inbox.gate.set()
        await settled(client, made, *["delivered"] * 11)

        assert held == inbox.most == 3

    async def test_what_arrives_while_more_is_looked_for_is_sent_once(
        self, client, parts, inbox, monkeypatch
    ):
        """It is found as still to be sent, and delivered by the time that is known."""
        look = parts.delivery_rows.due

        async def look_slowly(*arguments, **options):
            found = await look(*arguments, **options)
            if len(found) == 2:
                inbox.gate.set()
                await settled(client, made, "delivered", "pending")
            return found

        monkeypatch.setattr(parts.delivery_rows, "due", look_slowly)
        inbox.gate.clear()
        made = await subscribe(client, inbox)
        await classify(client)
        await inbox.got(1)
        await classify(client)
        await settled(client, made, "delivered", "delivered")

        assert len(inbox.posts) == len({each.id for each in inbox.posts}) == 2

    async def test_a_limit_is_kept(self, client, inbox):
        """Evenly."""
        made = await subscribe(client, inbox, rate_limit=5)
        await asyncio.gather(*(classify(client) for _ in range(9)))
        await settled(client, made, *["delivered"] * 9)
        came = [each.at for each in inbox.posts]

        assert came[-1] - came[0] >= 8 / 5 * 0.9
        assert all(later - earlier >= 0.1 for earlier, later in pairwise(came))

    async def test_one_that_only_fails_is_left_alone(self, client, inbox):
        """Then tried with one; what waits is not lost."""
        inbox.always = BROKEN
        made = await subscribe(client, inbox)
        await asyncio.gather(*(classify(client) for _ in range(20)))
        await inbox.got(6)
        await asyncio.sleep(0.5)
        held = len(inbox.posts)
        inbox.always = said()
        await until(lambda: len(inbox.posts) == 20, seconds=20)

        assert 6 <= held <= 8
        states = {each["state"] for each in await sent_to(client, made)}
        assert "missed" not in states


class TestAgain:
    """By hand."""

    @pytest.fixture
    def how(self):
        return WebhookSettings(schedule=(0, 0.1), jitter=0)

    async def test_one_is_sent_again(self, client, inbox):
        """Whatever became of it, under its id; the attempts are counted on."""
        inbox.answers.extend([BROKEN, BROKEN])
        made = await subscribe(client, inbox)
        await classify(client)
        (failed,) = await settled(client, made, "failed")
        answer = await client.post(f"/deliveries/{failed['id']}/redeliver")
        (delivered,) = await settled(client, made, "delivered")
        await client.post(f"/deliveries/{failed['id']}/redeliver")
        await inbox.got(4)
        again = await attempted(client, made, 4)

        assert answer.status_code == 202
        assert (answer.json()["state"], answer.json()["id"]) == ("pending", failed["id"])
        assert [each["status"] for each in delivered["attempts"]] == [500, 500, 204]
        assert [each["number"] for each in again["attempts"]] == [1, 2, 3, 4]
        assert len({each.id for each in inbox.posts}) == 1

    async def test_it_has_all_its_attempts_again(self, client, inbox):
        inbox.answers.extend([BROKEN] * 3)
        made = await subscribe(client, inbox)
        await classify(client)
        (failed,) = await settled(client, made, "failed")
        await client.post(f"/deliveries/{failed['id']}/redeliver")
        (delivered,) = await settled(client, made, "delivered")

        assert [each["status"] for each in delivered["attempts"]] == [500, 500, 500, 204]

    async def test_what_failed_is_replayed(self, client, inbox):
        """And what was delivered only where it is asked for."""
        made = await subscribe(client, inbox)
        place = f"/webhooks/{made['id']}/replay"
        good = await classify(client)
        await settled(client, made, "delivered")
        inbox.answers.extend([BROKEN] * 2)
        bad = await classify(client)
        await settled(client, made, "delivered", "failed")
        first = await client.post(place, params=SINCE)
        await settled(client, made, "delivered", "delivered")
        nothing = await client.post(place, params=SINCE)
        everything = await client.post(place, params={**SINCE, "delivered": True})
        await inbox.got(6)
        subjects = [each["data"]["id"] for each in inbox.events]

        assert (first.status_code, first.json()) == (202, {"deliveries": 1})
        assert nothing.json() == {"deliveries": 0}
        assert everything.json() == {"deliveries": 2}
        assert subjects.count(good["id"]) == 2
        assert subjects.count(bad["id"]) == 4

    async def test_a_range_is_replayed(self, client, inbox):
        made = await subscribe(client, inbox)
        place = f"/webhooks/{made['id']}/replay"
        times, ids = [], []
        for number in range(3):
            times.append(datetime.now(UTC).isoformat())
            ids.append((await classify(client))["id"])
            await settled(client, made, *["delivered"] * (number + 1))
        query = {"since": times[1], "until": times[2], "delivered": True}
        count = (await client.post(place, params=query)).json()
        await inbox.got(4)

        assert count == {"deliveries": 1}
        assert inbox.events[3]["data"]["id"] == ids[1]

    @pytest.mark.parametrize("query", [{}, {"since": "yesterday"}, {"since": "2026-01-01T00:00"}])
    async def test_since_when_has_to_be_said(self, client, inbox, query):
        made = await subscribe(client, inbox)
        answer = await client.post(f"/webhooks/{made['id']}/replay", params=query)

        assert is_problem(answer, 422, "invalid-request")


class TestDisabled:
    @pytest.fixture
    async def disabled(self, client, inbox):
        """A webhook that is."""
        inbox.answers.append(GONE)
        made = await subscribe(client, inbox)
        await classify(client)

        async def is_() -> bool:
            return (await get(client, f"/webhooks/{made['id']}"))["status"] == "disabled"

        await until(is_)
        return made

    async def test_it_is_sent_nothing_but_a_test(self, client, parts, inbox, disabled):
        place = f"/webhooks/{disabled['id']}"
        before = len(inbox.posts)
        await classify(client)
        await parts.deliveries.look()
        (missed,) = await sent_to(client, disabled, state="missed", limit=1)
        refused = [
            await client.post(f"/deliveries/{missed['id']}/redeliver"),
            await client.post(f"{place}/replay", params=SINCE),
        ]
        tested = await client.post(f"{place}/test")

        assert all(is_problem(each, 409, "webhook-disabled") for each in refused)
        assert tested.json()["state"] == "delivered"
        assert len(inbox.posts) == before + 1
        assert (await get(client, place))["status"] == "disabled"

    @pytest.mark.parametrize("body", [None, {}, {"replay_since": None}])
    async def test_enabled_it_hears_of_what_is_new(self, client, inbox, disabled, body):
        await classify(client)
        before = len(inbox.posts)
        answer = await client.post(f"/webhooks/{disabled['id']}/enable", json=body)
        given = await classify(client)
        await inbox.got(before + 1)

        assert (answer.json()["status"], answer.json()["reason"]) == ("enabled", None)
        assert answer.json()["failing_since"] is answer.json()["disabled_at"] is None
        assert [each["data"]["id"] for each in inbox.events[before:]] == [given["id"]]

    async def test_enabled_it_is_sent_what_it_missed_where_that_is_asked_for(
        self, client, inbox, disabled
    ):
        missed = [(await classify(client))["id"] for _ in range(3)]
        before = len(inbox.posts)
        since = {"replay_since": SINCE["since"]}
        await client.post(f"/webhooks/{disabled['id']}/enable", json=since)
        await until(lambda: _subjects(inbox, before) >= {*missed})
        again = await sent_to(client, disabled, state="missed")

        assert again == []


class TestTesting:
    async def test_a_ping_says_what_came_of_it(self, client, inbox):
        made = await subscribe(client, inbox, event_types=["batch.completed"])
        answer = await client.post(f"/webhooks/{made['id']}/test")
        event = inbox.posts[0].verify(made["secret"])

        assert answer.status_code == 200
        assert answer.json()["state"] == "delivered"
        assert answer.json()["event_type"] == event["type"] == "ping"
        assert event["data"] == {"webhook_id": made["id"]}
        assert answer.json() == (await sent_to(client, made))[0]

    async def test_one_that_fails_is_not_tried_again(self, client, parts, inbox):
        """And is no reason to think that the webhook fails."""
        inbox.answers.append(BROKEN)
        made = await subscribe(client, inbox)
        answer = (await client.post(f"/webhooks/{made['id']}/test")).json()
        await parts.deliveries.look()

        assert answer["state"] == "failed"
        assert [each["status"] for each in answer["attempts"]] == [500]
        assert answer["next_attempt_at"] is None
        assert (await get(client, f"/webhooks/{made['id']}"))["failing_since"] is None
        assert len(inbox.posts) == 1

    async def test_others_hear_nothing_of_it(self, client, inbox, other):
        made = await subscribe(client, inbox)
        await subscribe(client, other)
        await client.post(f"/webhooks/{made['id']}/test")
        await classify(client)
        await other.got(1)

        assert {each["type"] for each in other.events} == {"result.created"}


class TestStopping:
    @pytest.fixture
    def own(self, settings, lasting_url, monkeypatch):
        monkeypatch.setattr(registry, "OWN", (*registry.OWN, *ENTRY_POINTS))
        return settings.model_copy(update={"database_url": lasting_url})

    @staticmethod
    async def webhook(parts, inbox):
        values = {"url": inbox.url(), "event_types": [], "domains": [], "headers": None}
        values |= {"description": None, "rate_limit": None}
        return await parts.webhooks.create("test", values, by=COMMAND_LINE)

    @staticmethod
    async def classified(parts) -> str:
        question = Question(Upload(PICTURE), "flowers", "test", provider="fake")
        return (await parts.classification.classify(question)).id

    async def test_attempts_under_way_end(self, own, inbox):
        """And are on record; nothing new is begun."""
        inbox.gate.clear()

        async def serve() -> str:
            async with build_parts(own, serving=True) as parts:
                endpoint, _ = await self.webhook(parts, inbox)
                await self.classified(parts)
                await inbox.got(1)
            return endpoint.row.id

        serving = asyncio.create_task(serve())
        await inbox.got(1)
        await asyncio.sleep(0.2)
        still = not serving.done()
        inbox.gate.set()
        webhook_id = await serving
        async with build_parts(own) as parts:
            (row,) = await parts.delivery_rows.page(_of(webhook_id), before=None, limit=9)

        assert still
        assert row.state == "delivered"
        assert [each.status for each in row.log] == [204]
        assert len(inbox.posts) == 1

    async def test_one_that_hangs_does_not_hold_it_up(self, own, inbox):
        """It is sent again by the next process."""
        inbox.gate.clear()
        hurried = own.model_copy(update={"drain_timeout": 0.3})
        loop = asyncio.get_running_loop()
        async with build_parts(hurried, serving=True) as parts:
            await self.webhook(parts, inbox)
            await self.classified(parts)
            await inbox.got(1)
            began = loop.time()
        took_s = loop.time() - began
        inbox.gate.set()
        async with build_parts(own, serving=True):
            first, second = await inbox.got(2)

        assert took_s < 3
        assert first.id == second.id

    async def test_what_was_not_sent_is_by_the_next(self, own, inbox):
        """Though the first was not even there to begin it."""
        async with build_parts(own) as parts:
            endpoint, secret = await self.webhook(parts, inbox)
            ids = [await self.classified(parts) for _ in range(3)]
        early = len(inbox.posts)
        async with build_parts(own, serving=True):
            await inbox.got(3)

        assert early == 0
        assert endpoint.row.status == "enabled"
        assert {each.verify(secret)["data"]["id"] for each in inbox.posts} == {*ids}


class TestKeys:
    """Of what is encrypted in the database."""

    @pytest.fixture
    def own(self, settings, lasting_url, monkeypatch):
        monkeypatch.setattr(registry, "OWN", (*registry.OWN, *ENTRY_POINTS))

        def with_keys(*keys: bytes):
            how = WebhookSettings(encryption_keys=tuple(SecretStr(k.decode()) for k in keys))
            return settings.model_copy(update={"database_url": lasting_url, "webhooks": how})

        return with_keys

    async def test_who_lost_it_may_have_a_new_secret(self, own, inbox):
        lost, other = Fernet.generate_key(), Fernet.generate_key()
        async with self.serving(own(lost)) as (_, client):
            made = await subscribe(client, inbox)
        async with self.serving(own(other)) as (_, client):
            rotated = await client.post(f"/webhooks/{made['id']}/rotate")
            given = await classify(client)
            (post,) = await inbox.got(1)

        assert rotated.json()["readable"]
        assert post.verify(rotated.json()["secret"])["data"]["id"] == given["id"]

    async def test_without_the_right_one_it_waits(self, own, inbox):
        """The rest works, and with the right one, or both, it is sent."""
        right, wrong = Fernet.generate_key(), Fernet.generate_key()
        async with self.serving(own(right)) as (_, client):
            made = await subscribe(client, inbox)
        with capture_logs() as logs:
            async with self.serving(own(wrong)) as (parts, client):
                given = await classify(client)
                place = f"/webhooks/{made['id']}"
                asked = [
                    await client.get("/webhooks"),
                    await client.get(place),
                ]
                tested = await client.post(f"{place}/test")
                await until(lambda: _complaints(logs))
                await parts.deliveries.look()
                (waits,) = (await get(client, "/deliveries"))["deliveries"]
        async with self.serving(own(wrong, right)):
            (post,) = await inbox.got(1)

        assert [each.status_code for each in asked] == [200, 200]
        assert not asked[1].json()["readable"]
        assert is_problem(tested, 500, "secret-unreadable")
        assert "WEBHOOKS_ENCRYPTION_KEYS" in tested.text
        assert not any(right.decode() in each.text for each in (*asked, tested))
        assert _complaints(logs)[0]["webhook_id"] == made["id"]
        assert not [each for each in logs if each.get("exc_info")]
        assert (waits["state"], waits["attempts"]) == ("pending", [])
        assert post.verify(made["secret"])["data"]["id"] == given["id"]

    @staticmethod
    @asynccontextmanager
    async def serving(settings):
        async with build_parts(settings, serving=True) as parts:
            transport = httpx2.ASGITransport(create_app(parts), raise_app_exceptions=False)
            async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
                yield parts, client


def _subjects(inbox, first: int) -> set[str]:
    """Results that were told from this post on."""
    told = [each["data"] for each in inbox.events[first:] if each["type"] == "result.created"]
    return {each["id"] for each in told}


def _complaints(logs) -> list[dict]:
    return [each for each in logs if each["event"] == "a webhook can't be sent to"]


def _of(webhook_id: str) -> DeliveryFilter:
    return DeliveryFilter(webhook_id=webhook_id)


class TestLate:
    """What another process tells, for it does not know yet."""

    @pytest.fixture
    def settings(self, settings, lasting_url):
        return settings.model_copy(update={"database_url": lasting_url})

    async def test_what_is_for_a_deleted_webhook_does_not_wait_for_ever(
        self, client, parts, settings, inbox
    ):
        made = await subscribe(client, inbox)
        async with build_parts(settings) as others:
            await client.delete(f"/webhooks/{made['id']}")
            question = Question(Upload(PICTURE), "flowers", "test", provider="fake")
            await others.classification.classify(question)
        waiting = await parts.delivery_rows.waiting()
        await parts.deliveries.look()

        async def none_waits() -> bool:
            return not await parts.delivery_rows.waiting()

        await until(none_waits)
        assert [each.webhook_id for each in waiting] == [made["id"]]
        assert inbox.posts == []

    async def test_what_is_for_a_disabled_webhook_is_missed(self, client, parts, settings, inbox):
        inbox.answers.append(GONE)
        made = await subscribe(client, inbox, event_types=["result.created"])
        async with build_parts(settings) as others:
            await classify(client)
            await settled(client, made, "missed")
            question = Question(Upload(PICTURE), "flowers", "test", provider="fake")
            await others.classification.classify(question)
        await parts.deliveries.look()

        await settled(client, made, "missed", "missed")
        assert len(inbox.posts) == 1


async def test_what_a_killed_process_was_sending_is_sent_again(start_service, inbox):
    """Under the same id, by the next start."""
    service = start_service(EGRESS_ALLOW=inbox.place)
    inbox.gate.clear()
    async with httpx2.AsyncClient(base_url=service.url, timeout=20) as http:
        made = await subscribe(http, inbox)
        await classify(http, provider="local")
        await inbox.got(1)
    await asyncio.to_thread(service.stop, signal.SIGKILL)
    inbox.gate.set()
    await asyncio.to_thread(service.start)
    first, second = await inbox.got(2)
    async with httpx2.AsyncClient(base_url=service.url, timeout=20) as http:
        (delivery,) = await settled(http, made, "delivered")

    assert first.id == second.id
    assert second.verify(made["secret"])
    assert len(delivery["attempts"]) == 1
