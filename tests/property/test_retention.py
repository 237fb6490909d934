"""Whatever batches share and however they stand: what is needed stays, what is not goes."""

import asyncio
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from app.retention import Retention
from app.settings_groups import RetentionSettings
from app.storage import (
    BatchItem,
    BatchRow,
    BlobStore,
    Database,
    ReceivingRepository,
    RetentionRepository,
    tables,
)
from app.storage.batch_rows import DELETED, DIGEST, OVER

PICTURES = [bytes([number]) for number in range(6)]
NOW = datetime.now(UTC) + timedelta(days=100)

days = st.none() | st.integers(0, 9)


@dataclass(frozen=True)
class Batch:
    """`ended`: so many days ago, where it is over."""

    status: Any
    ended: float
    pictures: list[bytes]


batches = st.builds(
    Batch,
    st.sampled_from(["receiving", "queued", "running", "paused", *OVER, DELETED]),
    st.integers(0, 9).map(lambda day: day + 0.5),
    st.lists(st.sampled_from(PICTURES), max_size=5),
)


def goes(batch: Batch, kept: float | None) -> bool:
    if batch.status == DELETED:
        return True
    return batch.status in OVER and kept is not None and batch.ended > kept


@given(held=st.lists(batches, max_size=5), kept_batches=days, kept_pictures=days)
@settings(max_examples=60, deadline=None)
def test_only_what_is_needed_stays(held, kept_batches, kept_pictures):
    policy = RetentionSettings(batches=kept_batches, pictures=kept_pictures)
    left, left_pictures, counted, swept = asyncio.run(_swept(held, policy))

    stay = [not goes(each, kept_batches) for each in held]
    needed = {
        picture
        for batch, stays in zip(held, stay, strict=True)
        if stays and not goes(batch, kept_pictures)
        for picture in batch.pictures
    }
    assert left == stay
    assert left_pictures == needed
    assert counted == swept
    assert swept.batches == stay.count(False)
    assert swept.pictures == len(PICTURES) - len(needed)


async def _swept(held: list[Batch], policy: RetentionSettings):
    database = Database("sqlite://")
    with tempfile.TemporaryDirectory() as place:
        blobs = BlobStore(f"memory://{place}")
        try:
            await database.write(tables.metadata.create_all)
            repository = ReceivingRepository(database, clock=lambda: NOW)
            for number, batch in enumerate(held):
                row = _row(number, batch)
                await repository.create(replace(row, status="receiving"))
                items = [
                    BatchItem(place, f"{place}", DIGEST + _digest(picture))
                    for place, picture in enumerate(batch.pictures)
                ]
                await repository.add(row.id, items, [])
                became = sa.update(tables.batches).where(tables.batches.c.id == row.id)
                await database.write(partial(_execute, became.values(status=row.status)))
            for picture in PICTURES:
                await blobs.put(picture)
            retention = Retention(RetentionRepository(database), blobs, policy, clock=lambda: NOW)
            counted = await retention.sweep(dry_run=True)
            swept = await retention.sweep()
            ids = await database.read(_ids)
            left = [f"{number}" in ids for number in range(len(held))]
            later = NOW + timedelta(days=1)
            digests = {name async for names in blobs.old(later) for name in names}
            await blobs.remove([*digests], later)
        finally:
            await blobs.close()
            await database.close()
    return left, {each for each in PICTURES if _digest(each) in digests}, counted, swept


def _row(number: int, batch: Batch) -> BatchRow:
    ended = NOW - timedelta(days=batch.ended)
    return BatchRow(
        id=f"{number}",
        caller="test",
        name=None,
        domain="flowers",
        provider=None,
        lane="batch",
        batch_size=10,
        shard_size=100,
        on_error="continue",
        deadline=None,
        status=batch.status,
        created_at=ended,
        completed_at=ended if batch.status in (*OVER, DELETED) else None,
    )


def _execute(statement: sa.Update, connection: sa.Connection) -> None:
    connection.execute(statement)


def _ids(connection: sa.Connection) -> set[str]:
    return set(connection.execute(sa.select(tables.batches.c.id)).scalars())


def _digest(picture: bytes) -> str:
    return sha256(picture).hexdigest()
