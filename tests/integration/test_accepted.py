"""POST /classify with `Prefer: respond-async`: the answer comes later."""

import asyncio
import gc
import sys
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from app.classification import Question, record
from app.domains import Domain
from app.errors import InvalidRequest, ProviderRejected
from app.identifiers import RESULT, new_id
from app.images import Upload, Url
from app.parts import build_parts
from app.providers import registry
from app.storage.audit import COMMAND_LINE
from app.usage import TokenUsage
from tests.conftest import PHOTOGRAPHS
from tests.fakes import ENTRY_POINTS, answer, spent_with
from tests.integration.calls import PICTURE, UNKNOWN, listed, until, upload
from tests.loopback import loopback, reply
from tests.pictures import encoded, photograph

pytestmark = pytest.mark.each_database


@pytest.fixture
async def web():
    async with loopback({"/rose.jpg": reply(PICTURE), "/text": reply(b"no picture")}) as served:
        yield served


@pytest.fixture
def settings(settings, web):
    return settings.model_copy(update={"egress_allow": (web.place,)})


LATER = {"prefer": "respond-async"}


@pytest.mark.parametrize("prefer", ["respond-async", "wait=10, respond-async", "respond-async;x"])
async def test_the_row_is_there_at_once_and_the_answer_later(client, fake, prefer):
    """202 with `Location`; GET with `wait` is held until the answer is there."""
    fake.hold.clear()
    accepted = await client.post("/classify", files=upload(), headers={"prefer": prefer})
    place = accepted.headers["location"]
    pending = await client.get(place)
    waiting = asyncio.create_task(client.get(place, params={"wait": 30}))
    await asyncio.sleep(0.05)
    held = not waiting.done()
    fake.hold.set()
    answered = await waiting

    assert accepted.status_code == 202
    assert accepted.headers["preference-applied"] == "respond-async"
    assert place == f"/results/{accepted.json()['id']}"
    assert accepted.json() == pending.json()
    assert pending.json()["status"] == "pending"
    assert pending.json()["predicted_class"] is None
    assert held
    assert answered.json()["status"] == "accepted"
    assert answered.json()["image"]["bytes"] == len(PICTURE)


async def test_waiting_ends_when_the_time_is_over(client, fake):
    """With the result as it is: still pending."""
    fake.hold.clear()
    accepted = await client.post("/classify", files=upload(), headers=LATER)

    answered = await client.get(accepted.headers["location"], params={"wait": 0.05})
    fake.hold.set()

    assert answered.json()["status"] == "pending"


@pytest.mark.parametrize("wait", [-1, 61, "nan", "long"])
async def test_a_wait_out_of_bounds_is_refused(client, wait):
    answered = await client.get(f"/results/{UNKNOWN}", params={"wait": wait})

    assert answered.status_code == 422


async def test_other_preferences_are_ignored(client, fake):
    given = await client.post("/classify", files=upload(), headers={"prefer": "return=minimal"})

    assert given.status_code == 200
    assert "preference-applied" not in given.headers


async def test_a_bad_picture_is_refused_at_once(client, fake):
    files = [("domain", (None, "flowers")), ("file", ("rose.jpg", PICTURE[:1000]))]

    answered = await client.post("/classify", files=files, headers=LATER)

    assert answered.status_code == 422
    assert answered.json()["type"] == "/problems/image-unreadable"
    assert await listed(client) == []


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("http://127.0.0.1:1/", "/problems/url-refused"),
        ("/text", "/problems/image-unreadable"),
        ("/rose.jpg", None),
    ],
)
async def test_a_url_is_read_later(client, fake, web, path, problem):
    """When nothing comes of it, the row says why, in the words of the problem."""
    url = path if path.startswith("http") else web.url(path)
    accepted = await client.post(
        "/classify",
        json={"domain": "flowers", "image_url": url, "provider": "fake"},
        headers=LATER,
    )
    answered = await client.get(accepted.headers["location"], params={"wait": 10})

    assert accepted.status_code == 202
    result = answered.json()
    assert result["status"] == ("failed" if problem else "accepted")
    assert (result["error"] or {}).get("type") == problem
    assert result["completed_at"] >= result["created_at"]


async def test_an_unknown_provider_is_told_at_once(client):
    refused = await client.post("/classify", files=upload(provider="crystal-ball"), headers=LATER)

    assert refused.status_code == 422
    assert refused.json()["type"] == "/problems/provider-unknown"
    assert await listed(client) == []


async def test_a_provider_that_fails_fails_the_row(client, fake):
    usage = TokenUsage(100, 1, {}, None)
    fake.script.append(spent_with(ProviderRejected("wrong key"), usage))
    accepted = await client.post("/classify", files=upload(), headers=LATER)
    answered = (await client.get(accepted.headers["location"], params={"wait": 10})).json()

    assert answered["error"] == {"type": "/problems/provider-rejected", "detail": "wrong key"}
    assert answered["usage"] == {"prompt_tokens": 100, "completion_tokens": 1, "cost_usd": None}


async def test_a_mistake_of_the_service_fails_the_row(client, fake):
    """Without telling the error's own text."""
    fake.script.append(RuntimeError("the secret is 4711"))
    accepted = await client.post("/classify", files=upload(), headers=LATER)
    answered = (await client.get(accepted.headers["location"], params={"wait": 10})).json()

    assert answered["error"]["type"] == "/problems/internal-error"
    assert "4711" not in str(answered)


async def test_what_was_paid_is_told_though_a_mistake_came_after_it(
    client, parts, fake, monkeypatch
):
    async def mistake(*_):
        raise RuntimeError("no review can be made of it")

    monkeypatch.setattr(type(parts.classification._reviewing), "of", mistake)
    fake.script.append(answer(usage=TokenUsage(100, 1, {}, None)))
    accepted = await client.post("/classify", files=upload(), headers=LATER)
    answered = (await client.get(accepted.headers["location"], params={"wait": 10})).json()

    assert (answered["status"], answered["provider"]) == ("failed", "fake")
    assert answered["error"]["type"] == "/problems/internal-error"
    assert answered["usage"] == {"prompt_tokens": 100, "completion_tokens": 1, "cost_usd": None}


async def test_a_row_deleted_while_pending_stays_deleted(client, fake):
    fake.hold.clear()
    accepted = await client.post("/classify", files=upload(), headers=LATER)
    place = accepted.headers["location"]
    await client.delete(place)
    waiting = asyncio.create_task(client.get(place, params={"wait": 1}))
    fake.hold.set()

    assert (await waiting).status_code == 404
    assert await listed(client) == []


async def test_the_truth_told_while_pending_is_kept(client, fake):
    fake.hold.clear()
    accepted = await client.post("/classify", files=upload(), headers=LATER)
    place = accepted.headers["location"]
    await client.put(f"{place}/expected", json={"label": "daisy"})
    fake.hold.set()
    answered = await client.get(place, params={"wait": 10})

    assert answered.json()["status"] == "accepted"
    assert answered.json()["expected"] == "daisy"


async def test_more_than_can_wait_is_told_to_come_back(client, fake, monkeypatch):
    monkeypatch.setattr("app.classification.accepting.MAX_PENDING", 1)
    fake.hold.clear()
    first = await client.post("/classify", files=upload(), headers=LATER)
    second = await client.post("/classify", files=upload(), headers=LATER)
    fake.hold.set()

    assert (first.status_code, second.status_code) == (202, 503)
    assert second.json()["type"] == "/problems/overloaded"
    assert int(second.headers["retry-after"]) >= 1


@pytest.mark.parametrize("source", [Upload, Url])
async def test_what_waits_holds_its_jpeg_only(parts, fake, web, source):
    """Neither the upload nor what was decoded of it: a thousand may wait."""

    def sizes() -> set[tuple[int, int]]:
        gc.collect()
        return {each.size for each in gc.get_objects() if isinstance(each, Image.Image)}

    data = encoded(photograph(1019, 761))
    held = sys.getrefcount(data)
    web.pages["/large.png"] = reply(data)
    picture = Upload(data) if source is Upload else Url(web.url("/large.png"))
    fake.hold.clear()
    await parts.accepting.accept(Question(picture, "flowers", "test", provider="fake"))
    del picture
    await fake.asked.wait()

    await until(lambda: sys.getrefcount(data) == held)
    await until(lambda: (1019, 761) not in sizes())
    assert (512, 382) not in sizes()
    fake.hold.set()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
async def test_the_local_model_says_the_same_as_at_once(client, kind):
    """Though it looks at pixels that were made small before, which moves the digits behind."""
    with Image.open(PHOTOGRAPHS / "rose.jpg") as rose:
        data = encoded(rose.resize((1440, 1080)), kind)
    files = [*upload(provider="local")[:-1], ("file", ("rose", data))]
    now = (await client.post("/classify", files=files)).json()
    accepted = await client.post("/classify", files=files, headers=LATER)
    later = (await client.get(accepted.headers["location"], params={"wait": 10})).json()

    same = ("status", "predicted_class")
    assert [later[name] for name in same] == [now[name] for name in same]
    assert later["probabilities"] == pytest.approx(now["probabilities"], abs=0.03)
    assert later["image"] == now["image"]


async def test_a_clock_that_was_set_back_hides_no_picture(lasting_url, settings, monkeypatch):
    """What was accepted by a clock that went ahead is gone on with at the next start, too."""
    monkeypatch.setattr(registry, "OWN", (*registry.OWN, *ENTRY_POINTS))
    own = settings.model_copy(update={"database_url": lasting_url})
    ahead = datetime.now(UTC) + timedelta(hours=2)
    question = Question(Upload(PICTURE), "flowers", "test", provider="fake", asked_at=ahead)
    async with build_parts(own) as parts:
        pending = record.pending(new_id(RESULT, ahead), question, parts.domains.get("flowers"))
        keep = await parts.accepting._keeper.keep(pending.id, question, PICTURE)
        await parts.results.insert(pending, keep)
    async with build_parts(own, serving=True) as parts:
        await parts.running.wait_for(pending.id, seconds=10)
        found = await parts.results.get(pending.id, caller=None)

    assert found.status == "accepted"


async def test_an_answer_that_no_database_takes_is_asked_for_once(client, parts, fake, monkeypatch):
    complete = parts.results.complete

    async def picky(result, beside=None, **options):
        if result.predicted_class:
            raise InvalidRequest("It holds a text that can't be stored.")
        return await complete(result, beside, **options)

    monkeypatch.setattr(parts.results, "complete", picky)
    accepted = await client.post("/classify", files=upload(), headers=LATER)
    place = accepted.headers["location"]
    answered = (await client.get(place, params={"wait": 10})).json()

    assert answered["status"] == "failed"
    assert answered["error"]["type"] == "/problems/internal-error"
    assert fake.calls == 1


async def test_one_that_nobody_began_is_found(lasting_url, settings, monkeypatch):
    """It was committed, and the connection was lost before the database said so."""
    monkeypatch.setattr(registry, "OWN", (*registry.OWN, *ENTRY_POINTS))
    own = settings.model_copy(update={"database_url": lasting_url})
    earlier = datetime.now(UTC) - timedelta(minutes=2)
    question = Question(Upload(PICTURE), "flowers", "test", provider="fake", asked_at=earlier)
    async with build_parts(own) as parts:
        pending = record.pending(new_id(RESULT, earlier), question, parts.domains.get("flowers"))
        keep = await parts.accepting._keeper.keep(pending.id, question, PICTURE)
        await parts.results.insert(pending, keep)
        await parts.accepting.look()
        await parts.running.wait_for(pending.id, seconds=10)
        found = await parts.results.get(pending.id, caller=None)

    assert found.status == "accepted"


async def test_one_whose_domain_was_deleted_meanwhile_fails(lasting_url, settings, monkeypatch):
    """What nobody can be asked about any more is told, and not pending for ever."""
    monkeypatch.setattr(registry, "OWN", (*registry.OWN, *ENTRY_POINTS))
    own = settings.model_copy(update={"database_url": lasting_url})
    question = Question(Upload(PICTURE), "garden", "test", provider="fake")
    garden = Domain.model_validate({"name": "garden", "classes": ["robin", "jay"]})
    async with build_parts(own) as parts:
        await parts.domains.create(garden, by=COMMAND_LINE)
        pending = record.pending(new_id(RESULT), question, garden)
        keep = await parts.accepting._keeper.keep(pending.id, question, PICTURE)
        await parts.results.insert(pending, keep)
        await parts.domains.delete("garden", by=COMMAND_LINE)
    async with build_parts(own, serving=True) as parts:
        found = await parts.results.get(pending.id, caller=None)
        left = await parts.accepting._keeper.count()

    assert (found.status, found.error.type) == ("failed", "/problems/domain-not-found")
    assert found.completed_at is not None
    assert left == 0
