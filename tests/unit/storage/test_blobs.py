"""Blobs by their digest: put again they are new again, and what is old goes."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.errors import BlobNotFound
from app.storage import BlobStore

HOUR = timedelta(hours=1)


def an_hour_ago() -> datetime:
    return datetime.now(UTC) - HOUR


@pytest.fixture(params=["memory", "file"])
async def blobs(request, tmp_path):
    place = f"memory://{tmp_path}" if request.param == "memory" else f"file://{tmp_path}/blobs"
    blobs = BlobStore(place)
    yield blobs
    await blobs.close()


async def names(blobs: BlobStore, before: datetime) -> set[str]:
    return {name async for some in blobs.old(before) for name in some}


def aged(path: Path, by: timedelta = 2 * HOUR) -> None:
    moment = (datetime.now(UTC) - by).timestamp()
    os.utime(path, (moment, moment))


async def test_what_is_old_is_listed_and_removed(blobs):
    """By digest and by name; where nothing was put, nothing is old."""
    later = datetime.now(UTC) + HOUR
    empty = await names(blobs, later)
    digest = await blobs.put(b"picture")
    result_id = "cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"
    await blobs.put_as(result_id, b"other")
    young, old = await names(blobs, an_hour_ago()), await names(blobs, later)
    kept = await blobs.remove([digest, result_id], an_hour_ago())
    removed = await blobs.remove([digest, result_id], later)
    again = await blobs.remove([digest, result_id], later)

    assert (empty, young, old) == (set(), set(), {digest, result_id})
    assert (kept, removed, again) == (0, 2, 0)
    with pytest.raises(BlobNotFound):
        await blobs.get(digest)


async def test_what_is_put_again_is_new_again(tmp_path):
    """But not written again, where it is new enough."""
    blobs = BlobStore(f"file://{tmp_path}")
    digest = await blobs.put(b"picture")
    path = tmp_path / digest[-2:] / digest
    first = path.stat().st_ino
    await blobs.put(b"picture")
    second = path.stat().st_ino
    aged(path)
    await blobs.put(b"picture")

    assert first == second
    assert await names(blobs, an_hour_ago()) == set()


async def test_only_what_is_its_own_is_listed(tmp_path):
    """What a crash left unfinished, too; the folder may hold anything else."""
    blobs = BlobStore(f"file://{tmp_path}")
    digest = await blobs.put(b"picture")
    unfinished = f"{digest}.tmp_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"
    for name in (unfinished, "notes.txt", f"{digest}.bak"):
        (tmp_path / digest[-2:] / name).write_text("half")
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / digest).write_text("mine")
    (tmp_path / "app.db").write_text("mine")
    later = datetime.now(UTC) + HOUR
    found = await names(blobs, later)
    removed = await blobs.remove([*found], later)

    assert (found, removed) == ({digest, unfinished}, 2)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 4


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_what_is_put_while_it_is_removed_is_there(kind, tmp_path):
    """Whoever comes first; also of two processes, where both see one folder."""
    place = f"{kind}://{tmp_path}/blobs"
    mine = BlobStore(place)
    other = mine if kind == "memory" else BlobStore(place)
    digest = await mine.put(b"picture")
    for _ in range(200):
        _age(kind, tmp_path / "blobs" / digest[-2:] / digest)
        await asyncio.gather(mine.put(b"picture"), other.remove([digest], an_hour_ago()))
        assert await mine.get(digest) == b"picture"

    assert await names(mine, datetime.now(UTC) + HOUR) == {digest}


def _age(kind: str, path: Path) -> None:
    if kind == "file":
        aged(path)
        return
    from fsspec.implementations.memory import MemoryFileSystem

    MemoryFileSystem.store[str(path)].created = datetime.now(UTC) - 2 * HOUR
