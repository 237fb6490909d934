"""What is told: of results and batches, to whom, and if and only if it happened."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from app.classification import Question, record
from app.errors import ProviderRejected
from app.identifiers import RESULT, new_id
from app.images import Upload
from app.parts import build_parts
from app.providers import registry
from app.providers.base import ProviderAnswer
from app.result import Result
from app.storage.events import MAX_BODY
from app.storage.tables import deliveries, results
from app.webhooks.signing import new_secret
from tests.fakes import ENTRY_POINTS
from tests.integration.calls import NOON, PICTURE, api_keys, is_problem, listed, until, upload
from tests.integration.test_batches import create, ended, pictures
from tests.integration.webhook_calls import classify, get, sent_to, settled, subscribe, written

pytestmark = pytest.mark.each_database

SECRET = new_secret()
LATER = {"prefer": "respond-async"}


@pytest.fixture
def settings(settings, inbox, other):
    return settings.model_copy(update={"egress_allow": (inbox.place, other.place)})


def result(**values) -> Result:
    row = {
        "id": new_id(RESULT),
        "domain": "flowers",
        "predicted_class": "rose",
        "confidence": 0.9,
        "status": "accepted",
        "caller": "anonymous",
        "domain_version": "1",
        "created_at": NOON,
    }
    return Result(**{**row, **values})


class TestResults:
    async def test_what_is_classified_is_told(self, client, inbox):
        """As it is found at its link, in the standard's envelope, signed."""
        made = await subscribe(client, inbox)
        given = await classify(client)
        (post,) = await inbox.got(1)
        event = post.verify(made["secret"])

        assert event["type"] == "result.created"
        assert event["version"] == 1
        assert event["link"] == f"/results/{given['id']}"
        assert event["data"] == await get(client, event["link"])
        assert post.headers["content-type"] == "application/json"
        assert post.id.startswith("evt_")
        assert "omitted" not in event
        happened = datetime.fromisoformat(event["timestamp"])
        assert abs(datetime.now(UTC) - happened) < timedelta(seconds=20)

    async def test_the_earlier_one_that_looks_like_it_is_told(self, client, inbox):
        await subscribe(client, inbox)
        first, second = await classify(client), await classify(client)
        await inbox.got(2)

        of = {each["data"]["id"]: each["data"] for each in inbox.events}
        assert of[first["id"]]["similar_to"] is None
        assert of[second["id"]]["similar_to"] == first["id"]

    async def test_an_accepted_picture_is_told_when_it_is_answered(self, client, fake, inbox):
        """And not before."""
        await subscribe(client, inbox)
        fake.hold.clear()
        accepted = (await client.post("/classify", files=upload(), headers=LATER)).json()
        await fake.asked.wait()
        early = await get(client, "/deliveries")
        fake.hold.set()
        (post,) = await inbox.got(1)

        assert early["deliveries"] == []
        assert post.event["data"]["status"] == "accepted"
        assert post.event["data"] == await get(client, f"/results/{accepted['id']}")

    async def test_the_truth_told_while_pending_is_told(self, client, fake, inbox):
        await subscribe(client, inbox)
        fake.hold.clear()
        accepted = (await client.post("/classify", files=upload(), headers=LATER)).json()
        await client.put(f"/results/{accepted['id']}/expected", json={"label": "daisy"})
        fake.hold.set()
        (post,) = await inbox.got(1)

        assert post.event["data"]["expected"] == "daisy"

    @pytest.mark.parametrize("headers", [{}, LATER], ids=["at once", "later"])
    async def test_a_failure_is_told(self, client, fake, inbox, headers):
        await subscribe(client, inbox)
        fake.script.append(ProviderRejected("wrong key"))
        await client.post("/classify", files=upload(), headers=headers)
        (post,) = await inbox.got(1)
        told = post.event["data"]

        assert told["status"] == "failed"
        assert told["error"] == {"type": "/problems/provider-rejected", "detail": "wrong key"}
        assert told == await get(client, f"/results/{told['id']}")

    async def test_what_is_refused_is_not_told(self, client, parts, inbox):
        """There is no result of it."""
        await subscribe(client, inbox)
        files = [("domain", (None, "flowers")), ("file", ("rose.jpg", PICTURE[:1000]))]
        refused = await client.post("/classify", files=files)

        assert refused.status_code == 422
        assert await written(parts) == []

    async def test_where_nobody_subscribed_nothing_is_written(self, client, parts, inbox):
        """Nor for other types and domains, nor after the last one went."""
        made = await subscribe(client, inbox)
        await client.delete(f"/webhooks/{made['id']}")
        await subscribe(client, inbox, event_types=["batch.completed"])
        await subscribe(client, inbox, domains=["animals"])
        await classify(client)
        await classify(client, headers=LATER)

        assert await written(parts) == []

    async def test_each_hears_what_it_asked_for(self, client, inbox):
        """By type and domain, together."""
        wanted = {
            "all": {},
            "flowers": {"domains": ["flowers"]},
            "both": {"domains": ["flowers", "objects"], "event_types": ["result.created"]},
            "batches": {"event_types": ["batch.completed"]},
            "objects": {"domains": ["objects"]},
        }
        made = {name: await subscribe(client, inbox, **values) for name, values in wanted.items()}
        flower, thing = await classify(client), await classify(client, domain="objects")
        await inbox.got(6)
        heard = {
            name: [each["subject"] for each in await sent_to(client, each)]
            for name, each in made.items()
        }

        assert heard == {
            "all": [flower["id"], thing["id"]],
            "flowers": [flower["id"]],
            "both": [flower["id"], thing["id"]],
            "batches": [],
            "objects": [thing["id"]],
        }

    async def test_one_event_has_one_id_for_all(self, client, inbox, other):
        await subscribe(client, inbox)
        await subscribe(client, other)
        await classify(client)

        assert (await inbox.got(1))[0].id == (await other.got(1))[0].id

    async def test_later_ones_have_larger_numbers(self, client, inbox):
        await subscribe(client, inbox)
        ids = [(await classify(client))["id"] for _ in range(5)]
        await inbox.got(5)
        numbers = {each["data"]["id"]: each["sequence"] for each in inbox.events}

        assert sorted(ids, key=numbers.__getitem__) == ids
        assert len(set(numbers.values())) == 5

    async def test_text_of_all_the_world_arrives(self, client, inbox):
        """Byte by byte as it was signed."""
        made = await subscribe(client, inbox)
        metadata = {"Blümchen": "Gänseblümchen 🌼", "控制": '\u2028"\\\x7f\u202e', "n": [1.5, None]}
        await classify(client, metadata=json.dumps(metadata))
        (post,) = await inbox.got(1)

        assert post.verify(made["secret"])["data"]["metadata"] == metadata


class TestLarge:
    @pytest.fixture
    async def many(self, client):
        """A domain with as many classes as there may be."""
        labels = [f"{number:03} {'long name ' * 9}".strip() for number in range(500)]
        made = await client.post("/domains", json={"name": "many", "classes": labels})
        assert made.status_code == 201, made.text
        return labels

    @pytest.mark.parametrize(
        ("classes", "omitted"), [(150, ["metadata"]), (500, ["metadata", "probabilities"])]
    )
    async def test_what_does_not_fit_is_behind_the_link(
        self, client, fake, inbox, many, classes, omitted
    ):
        shares = dict.fromkeys(many[:classes], 1 / classes)
        fake.script.append(ProviderAnswer(many[0], shares, "stated", "fake-1"))
        made = await subscribe(client, inbox)
        metadata = {"note": "ä" * 2_500, "more": "x" * 1_000}
        await classify(client, domain="many", metadata=json.dumps(metadata))
        (post,) = await inbox.got(1)
        event = post.verify(made["secret"])
        whole = await get(client, event["link"])

        assert len(post.body) < MAX_BODY
        assert event["omitted"] == omitted
        assert whole["metadata"] == metadata
        assert event["data"] == {**whole, **dict.fromkeys(omitted)}

    async def test_the_most_metadata_that_is_taken(self, client, inbox):
        """It fits alone."""
        await subscribe(client, inbox)
        metadata = {"note": "x" * (16_384 - len('{"note": ""}'))}
        await classify(client, metadata=json.dumps(metadata))
        (post,) = await inbox.got(1)

        assert len(post.body) < MAX_BODY
        assert post.event["data"]["metadata"] == metadata


class TestCallers:
    """`shop` and `press` are callers, `boss` is an operator."""

    @pytest.fixture
    def settings(self, settings):
        keys = api_keys(shop=False, press=False, boss=True)
        return settings.model_copy(update={"api_keys": keys})

    async def test_each_hears_of_its_own_and_an_operator_of_all(self, client, inbox):
        made = {
            name: await subscribe(client, inbox, {"x-api-key": name})
            for name in ("shop", "press", "boss")
        }
        ids = {
            name: (await classify(client, {"x-api-key": name}))["id"]
            for name in ("shop", "press", "boss")
        }
        await inbox.got(5)

        async def heard(name: str) -> list[str]:
            path = f"/webhooks/{made[name]['id']}/deliveries"
            found = await get(client, path, {"x-api-key": "boss"})
            return [each["subject"] for each in found["deliveries"][::-1]]

        assert await heard("shop") == [ids["shop"]]
        assert await heard("press") == [ids["press"]]
        assert await heard("boss") == [*ids.values()]


class TestCallback:
    """`callback_url`."""

    async def test_the_answer_comes_to_exactly_that_url(self, client, fake, parts, inbox):
        """It is 202 then, though nothing of that was preferred."""
        fake.hold.clear()
        place = "/told/a%20b?order=A-17&x=%C3%A4"
        given = await client.post("/classify", files=upload(callback_url=inbox.url(place)))
        fake.hold.set()
        (post,) = await inbox.got(1)
        event = post.verify(await parts.webhooks.callback_secret())

        assert given.status_code == 202
        assert given.headers["location"] == f"/results/{given.json()['id']}"
        assert "preference-applied" not in given.headers
        assert given.json()["status"] == "pending"
        assert post.path == place
        assert event["type"] == "result.created"
        assert event["data"] == await get(client, given.headers["location"])
        (delivery,) = (await get(client, "/deliveries"))["deliveries"]
        assert delivery["url"] == inbox.url(place)

    async def test_who_subscribed_is_told_too(self, client, inbox, other):
        await subscribe(client, other)
        await classify(client, callback_url=inbox.url("/told"))

        assert (await inbox.got(1))[0].id == (await other.got(1))[0].id

    async def test_a_failure_is_told(self, client, fake, inbox):
        fake.script.append(ProviderRejected("wrong key"))
        await classify(client, callback_url=inbox.url())
        (post,) = await inbox.got(1)

        assert post.event["data"]["status"] == "failed"

    async def test_in_json_too(self, client, inbox):
        """A picture that can't be fetched fails, and that is told."""
        body = {
            "domain": "flowers",
            "image_url": "http://127.0.0.1:1/",
            "callback_url": inbox.url(),
        }
        given = await client.post("/classify", json=body)
        (post,) = await inbox.got(1)

        assert given.status_code == 202
        assert post.event["data"]["error"]["type"] == "/problems/url-refused"

    async def test_it_survives_a_restart(self, lasting_url, settings, inbox, monkeypatch):
        monkeypatch.setattr(registry, "OWN", (*registry.OWN, *ENTRY_POINTS))
        own = settings.model_copy(update={"database_url": lasting_url})
        url = inbox.url("/told?a=b")
        question = Question(Upload(PICTURE), "flowers", "test", provider="fake", callback_url=url)
        async with build_parts(own) as parts:
            pending = record.pending(new_id(RESULT), question, parts.domains.get("flowers"))
            keep = await parts.accepting._keeper.keep(pending.id, question, PICTURE)
            await parts.results.insert(pending, keep)
            secret = await parts.webhooks.callback_secret()
        async with build_parts(own, serving=True):
            (post,) = await inbox.got(1)

        assert post.path == "/told?a=b"
        assert post.verify(secret)["data"]["id"] == pending.id

    async def test_another_one_makes_another_request(self, client, fake, inbox):
        """For the Idempotency-Key; the same one is answered, and told, once."""
        key = {"idempotency-key": uuid4().hex}

        async def ask(url: str | None):
            return await client.post("/classify", files=upload(callback_url=url), headers=key)

        first, again = await ask(inbox.url("/a")), await ask(inbox.url("/a"))
        others = [await ask(inbox.url("/b")), await ask(None)]
        await inbox.got(1)
        told = (await get(client, "/deliveries"))["deliveries"]

        assert first.json()["id"] == again.json()["id"]
        assert all(is_problem(each, 422, "idempotency-key-reused") for each in others)
        assert len(told) == fake.calls == 1


class TestCallbackSecret:
    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"webhook_secret": SecretStr(SECRET)})

    async def test_it_may_be_given(self, client, inbox):
        await classify(client, callback_url=inbox.url())
        (post,) = await inbox.got(1)

        assert post.verify(SECRET)


class TestBatches:
    async def test_its_end_is_told_once(self, client, inbox, other):
        """With all its results, to who subscribed and to its callback, which hears nothing of
        results."""
        await subscribe(client, inbox, event_types=["batch.completed", "result.created"])
        created = await create(client, ("a.zip", pictures(3)), callback_url=other.url("/told?a"))
        await ended(client, created["id"])
        await inbox.got(4)
        (told,) = await other.got(1)
        (whole,) = [each for each in inbox.events if each["type"] == "batch.completed"]

        assert told.path == "/told?a"
        assert told.event == whole
        assert whole["link"] == f"/batches/{created['id']}"
        assert whole["data"] == await get(client, whole["link"])
        assert whole["data"]["status"] == "completed"
        assert len(await _all(client)) == 5

    async def test_a_pause_and_what_follows(self, client, parts, fake, inbox, other):
        await subscribe(client, inbox, event_types=[f"batch.{each}" for each in ENDS])
        fake.hold.clear()
        created = await create(client, ("a.zip", pictures(3)), callback_url=other.url())
        place = f"/batches/{created['id']}"
        await fake.asked.wait()
        for step in ("pause", "pause", "resume", "cancel", "cancel"):
            await client.post(f"{place}/{step}")
        fake.hold.set()
        await inbox.got(2)
        await other.got(2)

        expected = [("batch.paused", "paused"), ("batch.cancelled", "cancelled")]
        assert _kinds(inbox) == _kinds(other) == expected
        assert len(await _all(client)) == 4

    async def test_a_failure_is_told_once(self, client, fake, inbox, other):
        await subscribe(client, inbox, event_types=[f"batch.{each}" for each in ENDS])
        fake.script.extend([ProviderRejected("401")] * 20)
        created = await create(
            client, ("a.zip", pictures(20)), on_error="stop", callback_url=other.url()
        )
        await ended(client, created["id"])
        await inbox.got(1)
        await other.got(1)
        told = inbox.events[0]["data"]

        assert _kinds(inbox) == _kinds(other) == [("batch.failed", "failed")]
        assert told["reason"] == "An item failed."
        assert len(await _all(client)) == 2

    @pytest.mark.parametrize("paused", [False, True])
    async def test_a_deadline_is_told_once(self, client, parts, fake, inbox, other, paused):
        kinds = ["batch.failed", "batch.completed"]
        await subscribe(client, inbox, event_types=kinds)
        fake.hold.clear()
        soon = (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()
        created = await create(
            client, ("a.zip", pictures(30)), deadline=soon, callback_url=other.url()
        )
        if paused:
            await client.post(f"/batches/{created['id']}/pause")
        await asyncio.sleep(0.6)
        fake.hold.set()

        async def over() -> bool:
            await parts.runner.look()
            return (await get(client, f"/batches/{created['id']}"))["status"] == "failed"

        await until(over)
        await parts.runner.look()
        event = await inbox.told("batch.failed")
        await other.told("batch.failed")

        assert event["data"]["reason"] == "The deadline is over."
        assert len(inbox.posts) == 1
        assert len(await _all(client)) == (3 if paused else 2)

    async def test_one_that_is_tried_again_ends_again(self, client, fake, inbox):
        await subscribe(client, inbox, event_types=["batch.completed"])
        fake.script.append(ProviderRejected("401"))
        created = await create(client, ("a.zip", pictures(2)))
        await ended(client, created["id"])
        await inbox.got(1)
        await client.post(f"/batches/{created['id']}/retry")
        await inbox.got(2)
        failed = [each["data"]["counts"]["failed"] for each in inbox.events]

        assert sorted(failed) == [0, 1]

    async def test_how_far_it_is_is_told_now_and_then(self, client, parts, inbox, monkeypatch):
        """At once, and then every five seconds at most."""
        await subscribe(client, inbox, event_types=["batch.progress"])
        first = await create(client, ("a.zip", pictures(130)))
        took = await ended(client, first["id"])
        began, over = (datetime.fromisoformat(took[n]) for n in ("started_at", "completed_at"))
        few = await written(parts)
        monkeypatch.setattr("app.storage.batch_shards.PROGRESS_EVERY", timedelta(0))
        second = await create(client, ("a.zip", pictures(130)))
        await ended(client, second["id"])
        await until(lambda: _done(inbox, second))
        more = (await written(parts))[len(few) :]

        assert 1 <= len(few) <= 1 + (over - began).total_seconds() / 5
        assert len(more) > 1
        assert set(few + more) == {"batch.progress"}
        assert all(each["data"]["status"] == "running" for each in inbox.events)

    async def test_how_far_it_is_is_not_written_where_nobody_asks(
        self, client, parts, inbox, other, monkeypatch
    ):
        """A callback does not hear of it."""
        monkeypatch.setattr("app.storage.batch_shards.PROGRESS_EVERY", timedelta(0))
        await subscribe(client, inbox, event_types=["batch.completed"])
        await subscribe(client, inbox, event_types=["batch.progress"], domains=["animals"])
        created = await create(client, ("a.zip", pictures(120)), callback_url=other.url())
        await ended(client, created["id"])

        assert await written(parts) == ["batch.completed"]


ENDS = ("completed", "failed", "cancelled", "paused")


async def _all(client) -> list[dict]:
    return (await get(client, "/deliveries"))["deliveries"]


def _kinds(inbox) -> list[tuple[str, str]]:
    told = sorted(inbox.events, key=lambda each: each["sequence"])
    return [(each["type"], each["data"]["status"]) for each in told]


def _done(inbox, batch) -> bool:
    return any(each["data"]["id"] == batch["id"] for each in inbox.events)


class TestTogether:
    """An event is written if and only if what it tells of is."""

    @staticmethod
    async def without(parts, table: str) -> None:
        """Break the database."""
        statement = sa.text(f"DROP TABLE {table}")
        await parts.database.write(lambda each: each.execute(statement).rowcount)

    async def test_no_event_no_result(self, client, parts, inbox):
        await subscribe(client, inbox)
        await self.without(parts, deliveries.name)
        given = await client.post("/classify", files=upload())

        assert given.status_code >= 500
        assert await listed(client) == []
        assert await written(parts) == []

    async def test_no_result_no_event(self, client, parts, inbox):
        await subscribe(client, inbox)
        await self.without(parts, results.name)
        given = await client.post("/classify", files=upload())

        assert given.status_code >= 500
        assert await written(parts) == []

    async def test_a_failure_beside_it_takes_both_along(self, client, parts, inbox):
        """Of what is committed together with others, only that."""
        await subscribe(client, inbox)
        good, bad = result(), result()

        def fails(connection: sa.Connection) -> None:
            raise RuntimeError("no")

        outcomes = await asyncio.gather(
            parts.results.insert(good),
            parts.results.insert(bad, fails),
            return_exceptions=True,
        )
        await inbox.got(1)

        assert isinstance(outcomes[1], RuntimeError)
        assert await listed(client) == [good.id]
        assert await written(parts) == ["result.created"]
        assert inbox.events[0]["data"]["id"] == good.id

    async def test_what_is_stored_twice_is_told_once(self, client, parts, inbox):
        made = await subscribe(client, inbox)
        one = result()
        for _ in range(2):
            await parts.results.insert(one)
        await parts.results.complete(one)

        await settled(client, made, "delivered")
        assert await written(parts) == ["result.created"]
