"""Several processes share all work, through a real PostgreSQL and a real Redis. Most tests run two
sets of parts in one process: each has its own connections, tasks and providers."""

import asyncio
import signal
from contextlib import AsyncExitStack

import httpx2
import pytest

from app.batches import BatchOptions
from app.batches.rows import Row
from app.errors import ConfigurationError
from app.main import create_app
from app.parts import FOLLOWED_EVERY_S, build_parts
from app.providers import registry
from tests import crash
from tests.fakes import ENTRY_POINTS
from tests.integration.calls import PICTURE, until, upload
from tests.integration.test_batches import picture
from tests.integration.test_domains import BIRDS

LATER = {"prefer": "respond-async"}


@pytest.fixture
def database_url(postgres_url):
    return postgres_url


@pytest.fixture
def settings(settings, redis, tmp_path):
    shared = {"redis_url": settings.model_validate({"redis_url": redis.url}).redis_url}
    return settings.model_copy(update={**shared, "blobs_url": f"file://{tmp_path}/blobs"})


class Process:
    """Parts, their provider `fake`, and the app over them."""

    def __init__(self, parts, fake, client) -> None:
        self.parts = parts
        self.fake = fake
        self.client = client


@pytest.fixture
async def begin(settings, monkeypatch):
    """Start one more; not `works`: it leaves the work to others."""
    monkeypatch.setattr(registry, "OWN", (*registry.OWN, *ENTRY_POINTS))
    async with AsyncExitStack() as stack:

        async def begin(*, works: bool = True) -> Process:
            own = settings.model_copy(update={"work": works})
            parts = await stack.enter_async_context(build_parts(own, serving=True))
            parts.health.state = "ready"
            (fake,) = await parts.providers.get("fake")
            transport = httpx2.ASGITransport(create_app(parts))
            client = httpx2.AsyncClient(transport=transport, base_url="http://service")
            return Process(parts, fake, await stack.enter_async_context(client))

        yield begin


async def made(process: Process, count: int) -> str:
    """A batch's id."""
    rows = [Row(str(number), picture(number), str(number)) for number in range(count)]
    options = BatchOptions(domain="flowers", provider="fake")
    batch = await process.parts.taking_in.take(options, rows, caller="anonymous")
    await process.parts.runner.go_on(batch.id)
    return batch.id


def ended(process: Process, batch_id: str):
    async def over() -> bool:
        return (await process.parts.batches.get(batch_id)).is_over

    return over


async def test_one_serves_and_another_works(begin):
    """On batches and on accepted pictures; who asks sees it from any of them."""
    serves, works = await begin(works=False), await begin()
    batch_id = await made(serves, 20)
    accepted = await serves.client.post("/classify", files=upload(), headers=LATER)
    await until(ended(serves, batch_id))
    place = accepted.headers["location"]
    answered = await serves.client.get(place, params={"wait": 10})
    elsewhere = await works.client.get(place)

    assert (serves.fake.calls, works.fake.calls) == (0, 21)
    assert (await serves.parts.batches.get(batch_id)).accepted == 20
    assert answered.json()["status"] == "accepted"
    assert answered.json() == elsewhere.json()


async def test_both_work_on_one_batch(begin):
    first, second = await begin(), await begin()
    batch_id = await made(first, 400)
    await until(ended(second, batch_id), seconds=60)
    batch = await first.parts.batches.get(batch_id)

    assert (batch.status, batch.accepted) == ("completed", 400)
    assert first.fake.calls + second.fake.calls == 400
    assert min(first.fake.calls, second.fake.calls) > 0


async def test_what_one_pauses_stops_in_all(begin):
    """After what is under way; and goes on from anywhere."""
    serves, works = await begin(works=False), await begin()
    works.fake.hold.clear()
    batch_id = await made(serves, 60)
    await works.fake.asked.wait()
    await serves.client.post(f"/batches/{batch_id}/pause")
    await asyncio.sleep(3 * FOLLOWED_EVERY_S)
    under_way = works.fake.calls
    works.fake.hold.set()

    async def answered() -> bool:
        return (await serves.parts.batches.get(batch_id)).done == under_way

    await until(answered)
    await asyncio.sleep(0.2)
    paused = await serves.parts.batches.get(batch_id)
    await works.client.post(f"/batches/{batch_id}/resume")
    await until(ended(serves, batch_id))

    assert (paused.status, paused.done) == ("paused", under_way)
    assert under_way < 60
    assert works.fake.calls == 60


async def test_a_domain_of_one_is_known_to_all(begin):
    """At once; what is changed or deleted, within seconds."""
    first, second = await begin(), await begin()
    name = BIRDS["name"]
    created = await first.client.post("/domains", json=BIRDS)
    known = await second.client.get(f"/domains/{name}")
    again = await second.client.post("/domains", json=BIRDS)
    await first.client.delete(f"/domains/{name}")

    async def gone() -> bool:
        return (await second.client.get(f"/domains/{name}")).status_code == 404

    await until(gone)
    assert (created.status_code, known.json()) == (201, created.json())
    assert again.status_code == 409


async def test_of_two_that_make_one_domain_one_is_told(begin):
    processes = [await begin(), await begin()]
    made = await asyncio.gather(*(each.client.post("/domains", json=BIRDS) for each in processes))

    assert sorted(each.status_code for each in made) == [201, 409]


async def test_a_task_that_comes_twice_asks_once(begin):
    """Redis forgot that it is worked on: it is kicked again, in the same process."""
    process = await begin()
    process.fake.hold.clear()
    accepted = await process.client.post("/classify", files=upload(), headers=LATER)
    await process.fake.asked.wait()
    again_after_s = await process.parts.accepting.picture(accepted.json()["id"])
    process.fake.hold.set()
    answered = await process.client.get(accepted.headers["location"], params={"wait": 10})

    assert again_after_s
    assert process.fake.calls == 1
    assert answered.json()["status"] == "accepted"


async def test_a_key_holds_in_all(begin):
    """Also while the first request still runs elsewhere: then it is waited for."""
    first, second = await begin(), await begin()
    first.fake.hold.clear()
    key = {"idempotency-key": "a"}
    running = asyncio.create_task(first.client.post("/classify", files=upload(), headers=key))
    await first.fake.asked.wait()
    waiting = asyncio.create_task(second.client.post("/classify", files=upload(), headers=key))
    await asyncio.sleep(0.3)
    first.fake.hold.set()
    answers = [(await each).json() for each in (running, waiting)]

    assert answers[0]["id"] == answers[1]["id"]
    assert (first.fake.calls, second.fake.calls) == (1, 0)


async def test_what_redis_forgets_is_found_in_the_database(begin, redis, monkeypatch):
    """Redis is killed with all it knew: batches and accepted pictures are answered all the same."""
    monkeypatch.setattr("app.parts.background.LOOKED_THROUGH_EVERY_S", 0.2)
    monkeypatch.setattr("app.classification.accepting.REDISCOVERED_AFTER_S", 0.0)
    serves = await begin(works=False)
    batch_id = await made(serves, 20)
    accepted = await serves.client.post("/classify", files=upload(), headers=LATER)
    redis.kill()
    other = [*upload()[:-1], ("file", ("other.jpg", picture(500)))]
    without = await serves.client.post("/classify", files=other, headers=LATER)
    redis.start()
    works = await begin()
    await until(ended(serves, batch_id), seconds=30)
    answers = [
        await serves.client.get(each.headers["location"], params={"wait": 20})
        for each in (accepted, without)
    ]

    assert [each.json()["status"] for each in answers] == ["accepted", "accepted"]
    assert works.fake.calls == 22


async def test_the_database_comes_back(begin, postgres, monkeypatch):
    """PostgreSQL is restarted in the middle of a batch."""
    monkeypatch.setattr("app.parts.background.LOOKED_THROUGH_EVERY_S", 0.5)
    process = await begin()
    process.fake.hold.clear()
    batch_id = await made(process, 30)
    await process.fake.asked.wait()
    await asyncio.to_thread(postgres.restart)
    process.fake.hold.set()
    await until(ended(process, batch_id), seconds=40)
    batch = await process.parts.batches.get(batch_id)
    items = await process.parts.batches.items(batch_id, after=-1, limit=100)

    assert (batch.status, batch.accepted) == ("completed", 30)
    assert len({result.id for _, result in items}) == 30


async def test_without_redis_there_is_one(settings):
    """A second process on the same database is told what it lacks."""
    alone = settings.model_copy(update={"redis_url": None})
    async with build_parts(alone, serving=True):
        with pytest.raises(ConfigurationError, match="REDIS_URL"):
            async with build_parts(alone, serving=True):
                pass


async def test_all_may_start_at_once_on_an_empty_database(settings, postgres):
    empty = settings.model_copy(update={"database_url": postgres.url(postgres.new_database())})
    async with AsyncExitStack() as stack:
        started = await asyncio.gather(
            *(stack.enter_async_context(build_parts(empty, serving=True)) for _ in range(3))
        )
        pages = [await each.batches.page(caller=None, before=None, limit=1) for each in started]

    assert pages == [[], [], []]


class TestProcesses:
    """Of their own."""

    @pytest.fixture
    def variables(self, postgres_url, redis, tmp_path):
        return {
            "DATABASE_URL": postgres_url,
            "REDIS_URL": redis.url,
            "BLOBS_URL": f"file://{tmp_path}/blobs",
        }

    async def test_a_worker_says_how_it_is_and_takes_no_requests(self, start_service, variables):
        worker = start_service("worker", **variables)
        async with httpx2.AsyncClient(base_url=worker.url, timeout=30) as http:
            ready = await http.get("/health/ready")
            metrics = await http.get("/metrics")
            refused = await http.post("/classify", files=upload())
        status = await asyncio.to_thread(worker.stop, signal.SIGTERM)

        assert (ready.status_code, metrics.status_code, refused.status_code) == (200, 200, 404)
        assert "classifier_build_info" in metrics.text
        assert status == 0

    async def test_it_needs_what_is_shared(self, start_service, tmp_path):
        with pytest.raises(RuntimeError, match="DATABASE_URL, REDIS_URL"):
            start_service("worker")

    async def test_an_accepted_picture_outlives_who_took_it(self, start_service, variables):
        """Killed while it holds the task, and another one answers."""
        serves = start_service("serve", WORK="off", **variables)
        async with httpx2.AsyncClient(base_url=serves.url, timeout=40) as http:
            files = [("domain", (None, "flowers")), ("file", ("rose.jpg", PICTURE))]
            accepted = await http.post("/classify", files=files, headers=LATER)
            first = start_service("worker", **variables)
            first.stop(signal.SIGKILL)
            start_service("worker", **variables)
            answered = await http.get(accepted.headers["location"], params={"wait": 30})

        assert answered.json()["status"] in ("accepted", "needs_review")


async def test_whatever_dies_every_item_has_one_result_that_is_told(tmp_path):
    """The short version of `make crash-test`: processes are killed, and Redis with all it knew."""
    found = await crash.run(240, 3, 1, tmp_path, several=True)

    assert found["complaints"] == []
    assert found["kills"] == 3
    assert found["events"] == 240 + 1
