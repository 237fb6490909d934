"""POST /classify with an Idempotency-Key."""

import asyncio
from dataclasses import replace

import pytest
import sqlalchemy as sa

from app.classification import Question
from app.classification.once import fingerprint
from app.errors import ProviderRejected, StorageUnavailable
from app.images import Upload
from app.storage import Claim, IdempotencyRepository
from app.storage.tables import idempotency_keys
from tests.integration.calls import UNKNOWN, api_keys, until
from tests.pictures import jpeg

pytestmark = pytest.mark.each_database

PICTURE = jpeg()
OTHER = jpeg(300)


def upload(picture: bytes = PICTURE, **fields):
    texts = {"domain": "flowers", "provider": "fake", **fields}
    return [*((name, (None, text)) for name, text in texts.items()), ("file", ("a.jpg", picture))]


async def ask(client, files=None, key="k-1", **headers):
    return await client.post(
        "/classify", files=files or upload(), headers={"idempotency-key": key, **headers}
    )


async def rows(client, **headers) -> list:
    return (await client.get("/results", headers=headers)).json()["results"]


async def test_the_same_request_gets_the_same_answer(client, fake):
    """One call to the provider, one row."""
    first, second = await ask(client), await ask(client)

    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert len(await rows(client)) == 1
    assert fake.calls == 1


async def test_without_a_key_every_request_is_a_new_one(client, fake):
    for _ in range(2):
        await client.post("/classify", files=upload())

    assert len(await rows(client)) == 2


async def test_another_key_is_another_request(client, fake):
    await ask(client, key="k-1")
    await ask(client, key="k-2")

    assert len(await rows(client)) == 2


@pytest.mark.parametrize(
    "other",
    [
        upload(OTHER),
        upload(domain="animals"),
        upload(expected="rose"),
        upload(metadata='{"order": 1}'),
        upload(provider="second"),
    ],
    ids=["picture", "domain", "expected", "metadata", "provider"],
)
async def test_a_key_with_another_request_is_refused(client, fake, other):
    """Whatever differs; the first answer stays."""
    first = await ask(client)
    refused = await ask(client, other)

    assert refused.status_code == 422
    assert refused.json()["type"] == "/problems/idempotency-key-reused"
    assert await rows(client) == [first.json()]


async def test_two_at_the_same_time_get_one_answer(client, fake):
    """The second waits for the first."""
    fake.hold.clear()
    both = [asyncio.create_task(ask(client)) for _ in range(2)]
    await fake.asked.wait()
    await asyncio.sleep(0.05)
    fake.hold.set()
    first, second = await asyncio.gather(*both)

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert fake.calls == 1


async def test_two_accepted_at_the_same_time_are_one(client, fake):
    """Both are told the same place, or the second to come back: never two rows."""
    both = [ask(client, prefer="respond-async") for _ in range(2)]
    answers = await asyncio.gather(*both)

    assert sorted(each.status_code for each in answers) in ([202, 202], [202, 409])
    assert len(await rows(client)) == 1


async def test_a_second_one_that_waits_is_asked_itself_when_the_first_fails(client, fake):
    """It waited for the first one's answer; that is a failure, which frees the key."""
    fake.script.append(ProviderRejected("wrong key"))
    fake.hold.clear()
    both = [asyncio.create_task(ask(client)) for _ in range(2)]
    await fake.asked.wait()
    await asyncio.sleep(0.05)
    fake.hold.set()
    answers = await asyncio.gather(*both)

    assert [each.status_code for each in answers] == [502, 200]
    assert fake.calls == 2
    assert sorted(row["status"] for row in await rows(client)) == ["accepted", "failed"]


@pytest.mark.parametrize("later", [{}, {"prefer": "respond-async"}], ids=["sync", "async"])
async def test_a_refused_request_frees_its_key(client, fake, later):
    """Nothing was answered: the key may go with the corrected request."""
    refused = await ask(client, upload(b"no picture"), **later)
    again = await ask(client, **later)

    assert refused.status_code == 422
    assert again.status_code in (200, 202)
    assert len(await rows(client)) == 1


async def test_a_failed_request_is_tried_again(client, fake):
    """Sent again with its key it is asked again; the failed row stays beside the new one."""
    fake.script.append(ProviderRejected("wrong key"))
    failed, again = await ask(client), await ask(client)

    assert (failed.status_code, again.status_code) == (502, 200)
    assert fake.calls == 2
    assert [row["status"] for row in await rows(client)] == ["accepted", "failed"]


async def test_an_accepted_request_that_failed_is_tried_again(client, fake):
    """As one that was waited for."""
    fake.script.append(ProviderRejected("wrong key"))
    failed = await ask(client, prefer="respond-async")
    await client.get(failed.headers["location"], params={"wait": 10})
    again = await ask(client, prefer="respond-async")
    result = await client.get(again.headers["location"], params={"wait": 10})

    assert result.json()["status"] == "accepted"


async def test_an_accepted_request_sent_again_names_the_same_place(client, fake):
    """Also while it is pending; 202 each time, then with the answer."""
    fake.hold.clear()
    first = await ask(client, prefer="respond-async")
    second = await ask(client, prefer="respond-async")
    fake.hold.set()
    await client.get(first.headers["location"], params={"wait": 10})
    third = await ask(client, prefer="respond-async")

    assert [each.status_code for each in (first, second, third)] == [202] * 3
    assert len({each.headers["location"] for each in (first, second, third)}) == 1
    assert [each.json()["status"] for each in (first, second, third)] == [
        "pending",
        "pending",
        "accepted",
    ]
    assert fake.calls == 1


async def test_of_an_answer_that_was_erased_the_key_is_free(client, fake):
    """Nothing of it is left: the same request is a new one."""
    first = await ask(client)
    await client.delete(f"/results/{first.json()['id']}")
    again = await ask(client)

    assert again.status_code == 200
    assert again.json()["id"] != first.json()["id"]


async def test_a_key_is_forgotten_after_a_day(client, fake, clock):
    first = await ask(client)
    clock.ahead(hours=24)
    again = await ask(client)
    clock.ahead(seconds=1)
    new = await ask(client)

    assert first.json()["id"] == again.json()["id"] != new.json()["id"]


class TestCallers:
    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"api_keys": api_keys(shop=False, press=False)})

    async def test_keys_are_per_caller(self, client, fake):
        """The same key of another caller is another key, and shows nothing of the first."""
        own = await ask(client, **{"x-api-key": "shop"})
        others = await ask(client, upload(OTHER), **{"x-api-key": "press"})

        assert (own.status_code, others.status_code) == (200, 200)
        assert others.json()["caller"] == "press"
        assert await rows(client, **{"x-api-key": "shop"}) == [own.json()]


class TestTheFirstIsGone:
    """The process that took the key was killed, and a request sent again comes to another."""

    @pytest.fixture
    def settings(self, settings, monkeypatch):
        monkeypatch.setattr("app.parts.background.HELD_AGAIN_EVERY_S", 0.05)
        return settings

    @pytest.fixture
    def claim(self, parts, clock):
        """Take a key for a request, as who is dead did."""

        async def claim(question: Question) -> Claim:
            mine = Claim(fingerprint(question), UNKNOWN)
            dead = IdempotencyRepository(parts.database, clock=clock)
            return await dead.claim("anonymous", "k-1", mine)

        return claim

    @pytest.fixture
    def question(self):
        return Question(Upload(PICTURE), "flowers", "anonymous", provider="fake")

    async def test_its_request_is_answered_soon(self, client, fake, clock, claim, question):
        await claim(question)
        at_once = await ask(client)
        clock.ahead(seconds=30)
        later = await ask(client)

        assert (at_once.status_code, later.status_code) == (409, 200)
        assert (await ask(client)).json() == later.json()
        assert fake.calls == 1

    async def test_another_request_is_refused_still(self, client, fake, clock, claim, question):
        await claim(replace(question, expected="rose"))
        clock.ahead(seconds=30)

        assert (await ask(client)).json()["type"] == "/problems/idempotency-key-reused"

    async def test_who_lives_keeps_its_key(self, client, parts, fake, clock, claim, question):
        """However long it takes."""
        fake.hold.clear()
        first = asyncio.create_task(ask(client))
        await fake.asked.wait()
        clock.ahead(seconds=30)

        async def renewed() -> bool:
            query = sa.select(idempotency_keys.c.created_at)
            return await parts.database.scalar(query) == clock.now

        await until(renewed)
        held = await claim(question)
        fake.hold.set()

        assert held.result_id == (await first).json()["id"]

    async def test_what_is_stored_stays(self, client, fake, clock):
        first = await ask(client)
        clock.ahead(seconds=30)

        assert (await ask(client)).json() == first.json()
        assert fake.calls == 1


class TestStorageFails:
    """Just when the answer is to be stored: it is, but nobody is told; or it can't be."""

    async def test_what_is_stored_all_the_same_keeps_its_key(
        self, client, parts, fake, monkeypatch
    ):
        insert = parts.results.insert

        async def without_a_word(*row):
            await insert(*row)
            raise StorageUnavailable("gone")

        with monkeypatch.context() as patch:
            patch.setattr(parts.results, "insert", without_a_word)
            patch.setattr(parts.classification._storing, "_sleep", lambda _: asyncio.sleep(0))
            unsaid = await ask(client)
        again = await ask(client)

        assert (unsaid.status_code, again.status_code) == (503, 200)
        assert len(await rows(client)) == 1


async def test_who_asks_again_without_patience_is_told_that_it_is_pending(client, fake):
    """202 and where to look, though the second request did not prefer that."""
    fake.hold.clear()
    await ask(client, prefer="respond-async")
    again = await ask(client)
    fake.hold.set()

    assert again.status_code == 202
    assert again.json()["status"] == "pending"
    assert again.headers["location"] == f"/results/{again.json()['id']}"
