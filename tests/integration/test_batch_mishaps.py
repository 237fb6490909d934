"""Batches while the machine misbehaves: a disk that is full, a database that is locked, a clock
that is set. What was answered is stored in the end, once."""

import asyncio
import resource
import sqlite3
import time
from pathlib import Path

import httpx2
import pytest

from app.batches import BatchOptions
from app.batches.rows import Row
from app.parts import build_parts
from app.providers import registry
from app.settings import Settings
from app.settings_groups import CacheSettings
from tests.fakes import ENTRY_POINTS, after, answer
from tests.integration.calls import until
from tests.integration.test_batches import picture, pictures

COUNT = 200


async def begun(http: httpx2.AsyncClient) -> str:
    """A batch's place, when some of it is done."""
    created = await http.post(
        "/batches", data={"domain": "flowers"}, files={"file": ("a.zip", pictures(COUNT))}
    )
    place = created.headers["location"]

    async def some() -> bool:
        return (await http.get(place)).json()["done"] >= 10

    await until(some, seconds=30)
    return place


async def ended_well(http: httpx2.AsyncClient, place: str) -> bool:
    async def over() -> bool:
        return (await http.get(place)).json()["status"] == "completed"

    await until(over, seconds=60)
    page = (await http.get(f"{place}/items", params={"limit": 1000})).json()["items"]
    return {each["result"]["status"] for each in page} <= {"accepted", "needs_review"} and (
        len({each["result"]["id"] for each in page}) == COUNT
    )


async def test_a_disk_that_is_full_for_a_while(start_service):
    """Progress can be read meanwhile; when there is room again it goes on by itself."""
    service = start_service(PROVIDER="local", CACHE_TTL="0")
    process = service.process.pid
    async with httpx2.AsyncClient(base_url=service.url, timeout=60) as http:
        place = await begun(http)
        limits = resource.prlimit(process, resource.RLIMIT_FSIZE)
        resource.prlimit(process, resource.RLIMIT_FSIZE, (1, limits[1]))
        await asyncio.sleep(1)
        before = (await http.get(place)).json()
        await asyncio.sleep(1.5)
        after = (await http.get(place)).json()
        resource.prlimit(process, resource.RLIMIT_FSIZE, limits)

        assert before["done"] == after["done"] < COUNT
        assert await ended_well(http, place)


async def test_a_database_that_is_locked_for_a_while(tmp_path, monkeypatch):
    """Longer than SQLite waits: nothing more is asked meanwhile, and nothing is paid twice."""
    monkeypatch.setattr("app.storage.engine.BUSY_TIMEOUT_S", 0.2)
    monkeypatch.setattr(registry, "OWN", (*registry.OWN, *ENTRY_POINTS))
    settings = Settings(
        database_url=f"sqlite:///{tmp_path}/app.db", image_workers=2, cache=CacheSettings(ttl=0)
    )
    async with build_parts(settings, serving=True) as parts:
        (fake,) = await parts.providers.get("fake")
        fake.script.extend([after(0.1, answer())] * COUNT)
        rows = [Row(str(number), picture(number), str(number)) for number in range(COUNT)]
        batch = await parts.taking_in.take(
            BatchOptions(domain="flowers", provider="fake"), rows, caller="test"
        )
        await parts.runner.go_on(batch.id)
        await fake.asked.wait()
        with sqlite3.connect(tmp_path / "app.db", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(2)
            asked = fake.calls
            other.execute("ROLLBACK")

        async def over() -> bool:
            return (await parts.batches.get(batch.id)).is_over

        await until(over, seconds=20)
        done = await parts.batches.get(batch.id)

    assert (done.status, done.accepted) == ("completed", COUNT)
    assert asked < COUNT / 2
    assert fake.calls == COUNT


@pytest.fixture
def faketime() -> str:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("libfaketime is not installed: make test-deps")
    return str(found[0])


@pytest.mark.parametrize("jumps", [("+7200", "+0"), ("-7200", "+0")], ids=["forward", "back"])
async def test_a_clock_that_is_set(start_service, faketime, tmp_path, jumps):
    """By two hours, and back again, in the middle of the work."""
    offset = tmp_path / "offset"
    offset.write_text("+0")
    service = start_service(
        PROVIDER="local",
        CACHE_TTL="0",
        LD_PRELOAD=faketime,
        FAKETIME_TIMESTAMP_FILE=str(offset),
        FAKETIME_NO_CACHE="1",
        DONT_FAKE_MONOTONIC="1",
    )
    async with httpx2.AsyncClient(base_url=service.url, timeout=60) as http:
        place = await begun(http)
        for jump in jumps:
            offset.write_text(jump)
            await asyncio.sleep(0.3)
        began = time.monotonic()

        assert await ended_well(http, place)
    assert time.monotonic() - began < 30
