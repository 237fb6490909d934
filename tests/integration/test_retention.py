"""What goes by itself, what goes on demand, and what stays."""

import asyncio
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from app.batches import BatchOptions
from app.batches.rows import Row
from app.batches.runner import IN_FLIGHT_HERE
from app.errors import ProviderRejected, StorageUnavailable
from app.main import create_app
from app.parts import build_parts
from app.retention import Swept
from app.settings import Settings
from app.settings_groups import RetentionSettings
from app.storage import Claim
from app.storage.batch_rows import UNFINISHED
from app.storage.tables import batch_errors, batch_items, batch_shards, batches, results
from tests.conftest import ROOT
from tests.integration.calls import NOON, api_keys, is_problem, listed, store, until, upload
from tests.integration.test_batches import create, ended, items, picture, report

pytestmark = pytest.mark.each_database

FLOWERS = BatchOptions(domain="flowers", provider="fake")


def after(**passed: float) -> datetime:
    return datetime.now(UTC) + timedelta(**passed)


def urls(count: int) -> list[Row]:
    return [Row(f"line {n}", f"https://x.example/{n}") for n in range(count)]


@pytest.fixture
def policy() -> RetentionSettings:
    return RetentionSettings()


@pytest.fixture(params=["memory", "files"])
def settings(request, settings, policy, lasting_url, tmp_path):
    place = {"blobs_url": f"memory://{tmp_path}"}
    if request.param == "files":
        place = {"database_url": lasting_url, "blobs_url": f"file://{tmp_path}/blobs"}
    return settings.model_copy(update={"retention": policy, **place})


IN_FILES = pytest.mark.parametrize("settings", ["files"], indirect=True)


async def over(client, *numbers: int, **options) -> str:
    """The id of a batch of these pictures that is over."""
    files = [(f"{number}.jpg", picture(number)) for number in numbers]
    created = await create(client, *files, **options)
    await ended(client, created["id"])
    return created["id"]


async def cancelled(parts, rows: list[Row]) -> str:
    """The id of a batch that ended before an item was answered."""
    batch = await parts.taking_in.take(FLOWERS, rows, caller="anonymous")
    await parts.runner.change_status(batch.id, "cancelled", of=UNFINISHED)
    return batch.id


async def under_way(client, fake, *numbers: int) -> str:
    """The id of one whose first picture is asked about."""
    fake.hold.clear()
    asked = fake.calls
    files = [(f"{number}.jpg", picture(number)) for number in numbers]
    created = await create(client, *files)
    await until(lambda: asyncio.sleep(0, fake.calls > asked))
    return created["id"]


class TestPictures:
    async def test_they_stay_for_days_after_the_end(self, client, parts):
        """By default seven; the batch and its results stay."""
        batch_id = await over(client, 1, 2, 3)
        early = await parts.retention.sweep(now=after(days=6.9))
        counted = await parts.retention.sweep(now=after(days=7.1), dry_run=True)
        late = await parts.retention.sweep(now=after(days=7.1))
        again = await parts.retention.sweep(now=after(days=7.1))

        assert not early
        assert counted == late == Swept(batches=0, results=0, pictures=3, keys=0)
        assert not again
        assert all(each["result"] for each in await items(client, batch_id))

    async def test_what_another_batch_needs_stays(self, client, parts, fake):
        """Though a batch that is over has it, too."""
        await over(client, 1, 2)
        second = await under_way(client, fake, 2, 3)
        swept = await parts.retention.sweep(now=after(days=8))
        fake.hold.set()
        done = await ended(client, second)

        assert swept.pictures == 1
        assert done["counts"]["failed"] == 0

    async def test_what_is_gone_is_told_to_who_tries_again(self, client, parts, fake):
        """Sent again it is there again."""
        fake.script.append(ProviderRejected("401"))
        batch_id = await over(client, 1)
        await parts.retention.sweep(now=after(days=8))
        await client.post(f"/batches/{batch_id}/retry")
        await ended(client, batch_id)
        (item,) = await items(client, batch_id)
        again = await report(client, await over(client, 1))

        assert item["result"]["error"]["type"] == "/problems/blob-not-found"
        assert again["counts"]["accepted"] == 1

    async def test_a_batch_that_is_being_received_loses_none(
        self, client, parts, fake, settings, monkeypatch
    ):
        """Nor what was kept for long by an earlier batch, while nothing is known of its items."""
        await client.delete(f"/batches/{await over(client, 1)}")
        _age_all(settings.blobs_url)
        add, put, go_on = parts.receiving.add, asyncio.Event(), asyncio.Event()

        async def later(*arguments):
            put.set()
            await go_on.wait()
            await add(*arguments)

        monkeypatch.setattr(parts.receiving, "add", later)
        sending = asyncio.create_task(create(client, ("1.jpg", picture(1)), ("2.jpg", picture(2))))
        await put.wait()
        swept = await parts.retention.sweep()
        go_on.set()
        done = await ended(client, (await sending)["id"])

        assert not swept
        assert done["counts"]["accepted"] == 2

    async def test_a_refused_batch_leaves_none(self, client, parts, monkeypatch):
        """Nothing needs them: they go when they are two hours old."""
        monkeypatch.setattr("app.batches.reading.TAKEN_AT_ONCE", 1)
        files = [("file", ("a.jpg", picture(1))), ("file", ("b.csv", b"no header"))]
        refused = await client.post("/batches", data={"domain": "flowers"}, files=files)
        early = await parts.retention.sweep(now=after(minutes=119))
        late = await parts.retention.sweep(now=after(minutes=121))

        assert refused.status_code == 422
        assert not early
        assert late == Swept(batches=0, results=0, pictures=1, keys=0)

    @IN_FILES
    async def test_an_accepted_picture_waits_as_long_as_it_must(
        self, client, parts, fake, settings
    ):
        """What nobody asks about any more goes."""
        fake.hold.clear()
        headers = {"prefer": "respond-async"}
        accepted = await client.post("/classify", files=upload(), headers=headers)
        (kept,) = Path(settings.blobs_url.removeprefix("file://")).glob("*/cls_*")  # noqa: ASYNC240
        orphan = kept.with_name(f"cls_{'0' * 24}{kept.parent.name}")
        orphan.write_bytes(kept.read_bytes())
        swept = await parts.retention.sweep(now=after(days=400))
        there = kept.exists()
        fake.hold.set()
        query = {"wait": 10}
        answered = (await client.get(f"/results/{accepted.json()['id']}", params=query)).json()

        assert (swept.pictures, orphan.exists(), there) == (1, False, True)
        assert answered["status"] == "accepted"


class TestResults:
    @pytest.fixture
    def policy(self):
        return RetentionSettings(results=30)

    async def test_old_ones_go(self, client, parts):
        """But not those that are pending."""
        await store(parts, 0)
        await store(parts, 1, status="failed", predicted_class=None)
        pending = await store(parts, 2, status="pending")
        young = await store(parts, 60)
        now = NOON + timedelta(days=30, minutes=30)
        counted = await parts.retention.sweep(now=now, dry_run=True)
        before = await listed(client)
        swept = await parts.retention.sweep(now=now)

        assert len(before) == 4
        assert counted.results == swept.results == 2
        assert await listed(client) == [young, pending]

    async def test_those_of_a_batch_stay_until_it_is_over(self, client, parts, fake):
        """Then its items have none any more, and its counts stay."""
        batch_id = await under_way(client, fake, *range(30))
        await until(lambda: asyncio.sleep(0, fake.calls == IN_FLIGHT_HERE))
        await client.post(f"/batches/{batch_id}/pause")
        fake.hold.set()

        async def stored() -> bool:
            return (await report(client, batch_id))["done"] == IN_FLIGHT_HERE

        await until(stored)
        paused = await parts.retention.sweep(now=after(days=31))
        await client.post(f"/batches/{batch_id}/resume")
        await ended(client, batch_id)
        swept = await parts.retention.sweep(now=after(days=31))
        told = (await client.get(f"/batches/{batch_id}/export")).json()

        assert (paused.results, swept.results) == (0, 30)
        assert (await report(client, batch_id))["counts"]["accepted"] == 30
        assert (told[0]["item_id"], told[0]["status"]) == ("0.jpg", "deleted")


class TestBatches:
    @pytest.fixture
    def policy(self):
        return RetentionSettings(batches=0.5, pictures=None)

    async def test_old_ones_go_with_all_they_have(self, client, parts, fake):
        """One that is not over stays, however old."""
        old = await over(client, 1, 2)
        waiting = await under_way(client, fake, 3)
        early = await parts.retention.sweep(now=after(hours=11))
        counted = await parts.retention.sweep(now=after(hours=13), dry_run=True)
        late = await parts.retention.sweep(now=after(hours=13))
        fake.hold.set()
        gone = await client.get(f"/batches/{old}")
        await ended(client, waiting)

        assert not early
        assert counted == late == Swept(batches=1, results=0, pictures=2, keys=0)
        assert is_problem(gone, 404, "batch-not-found")
        assert len(await listed(client)) == 1

    @IN_FILES
    async def test_several_processes_may_do_it_at_once(self, client, parts, settings, monkeypatch):
        """Or one, while a caller deletes a batch."""
        monkeypatch.setattr("app.storage.batch_deletion.ROWS_AT_ONCE", 20)
        batches = [await cancelled(parts, urls(100)) for _ in range(5)]
        await over(client, *range(50))
        async with build_parts(settings) as other:
            first, second, deleted = await asyncio.gather(
                parts.retention.sweep(now=after(days=1)),
                other.retention.sweep(now=after(days=1)),
                client.delete(f"/batches/{batches[2]}"),
            )
            left = await other.retention.sweep(now=after(days=1), dry_run=True)

        assert deleted.status_code in (204, 404)
        assert first.pictures + second.pictures == 50
        assert not left
        assert (await client.get("/batches")).json()["batches"] == []
        assert await listed(client) == []


class TestKeys:
    async def test_they_go_after_a_day(self, parts):
        for number in range(3):
            await parts.idempotency.claim("anonymous", f"{number}", Claim("f", f"cls_{number}"))
        early = await parts.retention.sweep(now=after(hours=23))
        counted = await parts.retention.sweep(now=after(hours=25), dry_run=True)
        late = await parts.retention.sweep(now=after(hours=25))

        assert (early.keys, counted.keys, late.keys) == (0, 3, 3)
        assert not await parts.retention.sweep(now=after(hours=25))


class TestDeletingABatch:
    async def test_it_goes_with_its_items_and_their_results(self, client, parts):
        """And nothing else; the same request makes a new one."""
        headers = {"idempotency-key": "k"}
        file = ("1.jpg", picture(1))
        first = await create(client, file, ("b.jpg", b"no picture"), headers=headers)
        await ended(client, first["id"])
        other = await over(client, 2)
        deleted = await client.delete(f"/batches/{first['id']}")
        again = await client.delete(f"/batches/{first['id']}")
        second = await create(client, file, ("b.jpg", b"no picture"), headers=headers)
        await ended(client, second["id"])
        known = [each["id"] for each in (await client.get("/batches")).json()["batches"]]

        assert deleted.status_code == 204
        assert is_problem(again, 404, "batch-not-found")
        for path in ("", "/items", "/errors", "/export", "/events"):
            gone = await client.get(f"/batches/{first['id']}{path}")
            assert is_problem(gone, 404, "batch-not-found")
        assert known == [second["id"], other]
        assert len(await listed(client)) == 2

    @IN_FILES
    async def test_two_processes_may_do_it_at_once(self, client, parts, settings, monkeypatch):
        """Neither fails, and nothing is left."""
        monkeypatch.setattr("app.storage.batch_deletion.ROWS_AT_ONCE", 3)
        files = [(f"{number}.jpg", picture(number)) for number in range(40)]
        created = await create(client, *files, ("b.csv", b"image_url\nno URL\n"))
        await ended(client, created["id"])
        before = await _count_rows(parts)
        async with build_parts(settings) as other:
            transport = httpx2.ASGITransport(create_app(other), raise_app_exceptions=False)
            async with httpx2.AsyncClient(transport=transport, base_url="http://other") as second:
                place = f"/batches/{created['id']}"
                deleted = await asyncio.gather(client.delete(place), second.delete(place))

        assert before == {"batches": 1, "items": 40, "shards": 1, "errors": 1, "results": 40}
        assert {each.status_code for each in deleted} <= {204, 404}
        assert set((await _count_rows(parts)).values()) == {0}

    async def test_one_that_is_not_over_has_to_be_cancelled_first(self, client, parts, fake):
        """What is under way then is stored nowhere."""
        batch_id = await under_way(client, fake, *range(12))
        refused = await client.delete(f"/batches/{batch_id}")
        await client.post(f"/batches/{batch_id}/pause")
        paused = await client.delete(f"/batches/{batch_id}")
        await client.post(f"/batches/{batch_id}/cancel")
        deleted = await client.delete(f"/batches/{batch_id}")
        fake.hold.set()
        await parts.runner.stop(seconds=10)  # when all of it is answered

        assert is_problem(refused, 409, "batch-over")
        assert is_problem(paused, 409, "batch-over")
        assert deleted.status_code == 204
        assert await listed(client) == []

    async def test_who_follows_it_is_let_go(self, client, fake):
        batch_id = await under_way(client, fake, 1)
        following = asyncio.create_task(client.get(f"/batches/{batch_id}/events"))
        await asyncio.sleep(0.1)  # it has had its first look, and the next one is in 0.4 s
        await client.post(f"/batches/{batch_id}/cancel")
        await client.delete(f"/batches/{batch_id}")
        told = await following
        fake.hold.set()

        assert told.status_code == 200
        assert "progress" in told.text

    async def test_what_is_cut_off_goes_with_the_next_sweep(self, client, parts, monkeypatch):
        """It is not seen from the beginning on."""
        monkeypatch.setattr("app.storage.batch_deletion.ROWS_AT_ONCE", 2)
        batch_id = await over(client, *range(7))
        await parts.runner.stop(seconds=10)  # it writes for a moment yet
        write, writes = parts.database.write, []

        async def dies(unit):
            if isinstance(unit, partial):  # deletes rows
                writes.append(unit)
                if len(writes) == 5:
                    raise StorageUnavailable("The database can't be written.")
            return await write(unit)

        monkeypatch.setattr(parts.database, "write", dies)
        cut_off = await client.delete(f"/batches/{batch_id}")
        left = len(await listed(client))
        seen = await client.get(f"/batches/{batch_id}")
        swept = await parts.retention.sweep()

        assert cut_off.status_code == 503
        assert 0 < left < 7
        assert seen.status_code == 404
        assert swept.batches == 1
        assert await listed(client) == []


class TestCallers:
    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"api_keys": api_keys(shop=False, other=False)})

    async def test_others_batches_are_not_deleted(self, client):
        shop, other = ({"x-api-key": name} for name in ("shop", "other"))
        created = await create(client, ("1.jpg", picture(1)), headers=shop)
        await client.post(f"/batches/{created['id']}/cancel", headers=shop)
        refused = await client.delete(f"/batches/{created['id']}", headers=other)

        assert is_problem(refused, 404, "batch-not-found")
        assert (await client.get(f"/batches/{created['id']}", headers=shop)).status_code == 200


class TestManyRows:
    @pytest.fixture
    def policy(self):
        return RetentionSettings(results=30)

    async def test_nobody_waits_for_them(self, client, parts):
        """10,000 results, and a batch of 10,000 items: other writes go on between them."""
        await asyncio.gather(*(store(parts, number / 60) for number in range(10_000)))
        batch_id = await cancelled(parts, urls(10_000))
        mine = await store(parts, 60 * 24 * 365)
        waits: list[float] = []

        async def write_on() -> None:
            while True:
                began = time.perf_counter()
                await parts.results.set_expected(mine, "rose", caller=None, teller="shop")
                waits.append(time.perf_counter() - began)

        writing = asyncio.create_task(write_on())
        swept = await parts.retention.sweep(now=NOON + timedelta(days=60))
        await client.delete(f"/batches/{batch_id}")
        writing.cancel()

        assert swept.results == 10_000
        assert (await client.get(f"/batches/{batch_id}")).status_code == 404
        assert len(waits) > 40
        assert max(waits) < 0.5


class TestByItself:
    @pytest.fixture
    def settings(self, settings, monkeypatch):
        monkeypatch.setattr("app.parts.background.RETENTION_AFTER_S", 0.0)
        monkeypatch.setattr("app.parts.background.RETENTION_EVERY_S", 0.05)
        return settings

    @pytest.fixture
    def policy(self):
        return RetentionSettings(batches=0)

    async def test_it_runs_on_whatever_happens(self, client, parts, monkeypatch):
        """Nobody has to ask for it. What went is logged, nothing else."""
        read, failures = parts.database.read, [RuntimeError("?"), StorageUnavailable("Full.")]

        async def sometimes(unit):
            if failures:
                raise failures.pop()
            return await read(unit)

        monkeypatch.setattr(parts.database, "read", sometimes)
        await until(lambda: asyncio.sleep(0, not failures))
        with capture_logs() as logs:
            created = await create(client, ("1.jpg", picture(1)))

            async def gone() -> bool:
                return (await client.get(f"/batches/{created['id']}")).status_code == 404

            await until(gone)
            await until(lambda: asyncio.sleep(0, any("batches" in each for each in logs)))
            await asyncio.sleep(0.2)  # and it looks again
        told = [each for each in logs if each["event"] not in ("request", "item")]

        assert told == [
            {
                "event": "what was old is deleted",
                "log_level": "info",
                "batches": 1,
                "results": 0,
                "pictures": 0,
                "keys": 0,
                "deliveries": 0,
                "entries": 0,
                "alerts": 0,
                "audit": 0,
            }
        ]


class TestCommand:
    @IN_FILES
    async def test_it_tells_what_went(self, client, parts, settings):
        """After it was told what would go; a service may run meanwhile."""
        batch_id = await cancelled(
            parts, [Row(f"{number}", picture(number)) for number in range(3)]
        )
        await store(parts)
        _age_all(settings.blobs_url)
        told = [
            await asyncio.to_thread(_run, settings, *options) for options in (["--dry-run"], [])
        ]

        assert (await client.get(f"/batches/{batch_id}")).status_code == 404
        counts = (
            "1 batches, 1 results, 3 pictures, 0 idempotency keys, 0 deliveries, "
            "0 entries of the ledger, 0 alerts, 0 entries of the audit log\n"
        )
        assert told == [f"would delete {counts}", f"deleted {counts}"]


def _run(settings: Settings, *options: str) -> str:
    environment = os.environ | {
        "CONFIG_DIR": str(ROOT / "config"),
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": settings.database_url,
        "BLOBS_URL": settings.blobs_url,
        "RETENTION_BATCHES": "0",
        "RETENTION_RESULTS": "0.5",
    }
    command = [sys.executable, "-m", "app", "retention", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def _count_rows(parts) -> dict[str, int]:
    counted = {
        "batches": batches,
        "items": batch_items,
        "shards": batch_shards,
        "errors": batch_errors,
        "results": results,
    }

    def unit(connection: sa.Connection) -> dict[str, int]:
        count = sa.select(sa.func.count())
        return {
            name: connection.execute(count.select_from(table)).scalar_one()
            for name, table in counted.items()
        }

    return await parts.database.read(unit)


def _age_all(blobs_url: str) -> None:
    """As if they had been put two hours ago."""
    moment = after(hours=-2)
    if blobs_url.startswith("file://"):
        for path in Path(blobs_url.removeprefix("file://")).rglob("*"):
            os.utime(path, (moment.timestamp(), moment.timestamp()))
        return
    from fsspec.implementations.memory import MemoryFileSystem

    for name, blob in MemoryFileSystem.store.items():
        if name.startswith(blobs_url.removeprefix("memory://")):
            blob.created = moment
