"""From what a request brings to a batch that can begin."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Literal
from urllib.parse import urlsplit

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.batches.rows import Row, Unusable
from app.domains import DomainRegistry
from app.errors import (
    BatchNotFound,
    BatchTooLarge,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    InvalidRequest,
)
from app.identifiers import BATCH, new_id
from app.settings import BatchSettings
from app.storage import (
    BadRow,
    BatchItem,
    BatchRepository,
    BatchRow,
    BlobStore,
    Claim,
    IdempotencyRepository,
)
from app.storage.batch_rows import DIGEST
from app.traffic import Lane

TAKEN_AT_ONCE = 500
"""Rows that are read in a thread, and stored, together."""

TAKEN_BYTES = 32_000_000
"""Of pictures, that are held until they are stored."""

RECEIVED_WITHIN_S = 3_600.0
"""From its first row to its last; what takes longer was left behind by a crash."""

MAX_BAD_ROWS = 10_000
"""Told one by one; more are a mistake about the whole."""


class BatchOptions(BaseModel):
    """What goes with a batch."""

    model_config = ConfigDict(extra="forbid")
    domain: str = Field(description="Name of the domain.", examples=["flowers"])
    name: str | None = Field(
        None, max_length=200, description="For people.", examples=["March returns"]
    )
    provider: str | None = Field(
        None, description="Who shall answer instead of the domain's providers.", examples=["local"]
    )
    lane: Lane = Field(
        "batch", description="`interactive`: as urgent as requests.", examples=["batch"]
    )
    batch_size: int | None = Field(
        None,
        ge=10,
        le=100,
        description="Items committed together; unset: the service's own.",
        examples=[10],
    )
    on_error: Literal["continue", "stop"] = Field(
        "continue", description="`stop`: the first item that fails ends it.", examples=["continue"]
    )
    deadline: AwareDatetime | None = Field(
        None, description="What is not done by then is not done at all.", examples=[None]
    )
    expected_column: str = Field(
        "expected",
        max_length=100,
        description="Column of a CSV that holds the true class.",
        examples=["expected"],
    )
    dry_run: bool = Field(
        default=False,
        description="Only say what it would cost: nothing is stored, no provider is asked.",
        examples=[False],
    )


class TakingIn:
    """Nothing of a batch is seen before all of it is there."""

    def __init__(
        self,
        batches: BatchRepository,
        keys: IdempotencyRepository,
        blobs: BlobStore,
        domains: DomainRegistry,
        settings: BatchSettings,
    ) -> None:
        self._batches = batches
        self._keys = keys
        self._blobs = blobs
        self._domains = domains
        self._settings = settings

    async def take_once(
        self,
        options: BatchOptions,
        rows: Iterable[Row | Unusable],
        *,
        caller: str,
        key: str,
        fingerprint: str,
    ) -> BatchRow:
        """As `take`; the same `key` and `fingerprint`, of all that makes a request the same, give
        the same batch. Raises IdempotencyKeyReused and IdempotencyKeyInUse, too."""
        mine = Claim(fingerprint, new_id(BATCH))
        claim = await self._keys.claim(caller, key, mine)
        if claim.fingerprint != mine.fingerprint:
            raise IdempotencyKeyReused("This Idempotency-Key belongs to another request.")
        if claim.result_id != mine.result_id:
            try:
                return await self._batches.get(claim.result_id)
            except BatchNotFound:
                raise IdempotencyKeyInUse(
                    "The first request with this Idempotency-Key is still being received."
                ) from None
        try:
            return await self.take(options, rows, caller=caller, batch_id=mine.result_id)
        except BaseException:
            await self._keys.release(caller, key, mine)
            raise

    async def take(
        self,
        options: BatchOptions,
        rows: Iterable[Row | Unusable],
        *,
        caller: str,
        batch_id: str | None = None,
    ) -> BatchRow:
        """`rows` are read in threads. Raises DomainNotFound, BatchTooLarge, InvalidRequest when
        there is no item, StorageUnavailable, and what reading the rows raises; then nothing is left
        of it."""
        domain = await self._domains.find(options.domain)
        batch = BatchRow(
            id=batch_id or new_id(BATCH),
            caller=caller,
            name=options.name,
            domain=domain.name,
            provider=options.provider,
            lane=options.lane,
            batch_size=options.batch_size or self._settings.default_size,
            shard_size=self._settings.checkpoint_interval,
            on_error=options.on_error,
            deadline=options.deadline,
            status="receiving",
            created_at=datetime.now(UTC),
        )
        await self._batches.create(batch)
        try:
            async with asyncio.timeout(RECEIVED_WITHIN_S):
                await self._store(batch.id, rows, frozenset(domain.labels))
            await self._batches.received(batch.id)
        except TimeoutError:
            await self._batches.forget(batch.id)
            raise BatchTooLarge("Taking in the batch took too long.") from None
        except BaseException:
            await self._batches.forget(batch.id)
            raise
        return await self._batches.get(batch.id)

    async def _store(
        self, batch_id: str, rows: Iterable[Row | Unusable], labels: frozenset[str]
    ) -> None:
        count = errors = 0
        async for group in in_groups(iter(rows)):
            items: list[BatchItem] = []
            bad_rows: list[BadRow] = []
            for row in group:
                unusable = row if isinstance(row, Unusable) else wrong(row, labels)
                if unusable is not None:
                    bad_rows.append(BadRow(errors, unusable.place, unusable.reason))
                    errors += 1
                elif isinstance(row, Row):
                    items.append(await self._item(count, row))
                    count += 1
            check_counts(count, errors, self._settings)
            await self._batches.add(batch_id, items, bad_rows)
        check_counts(count, errors, self._settings, complete=True)

    async def _item(self, number: int, row: Row) -> BatchItem:
        source = row.picture
        if isinstance(source, bytes):
            source = DIGEST + await self._blobs.put(source)
        return BatchItem(number, row.item_id or str(number), source, row.expected, row.metadata)


def check_counts(
    items: int, bad_rows: int, settings: BatchSettings, *, complete: bool = False
) -> None:
    """Raises BatchTooLarge, and InvalidRequest for too many bad rows, or no item when it is
    `complete`."""
    if items > settings.max_items:
        raise BatchTooLarge(f"A batch has at most {settings.max_items:,} items.")
    if bad_rows > MAX_BAD_ROWS:
        raise InvalidRequest(f"More than {MAX_BAD_ROWS:,} rows are no items.")
    if complete and not items:
        raise InvalidRequest("There is no item in it.")


def wrong(row: Row, labels: frozenset[str]) -> Unusable | None:
    """Why it is no item of a domain with these classes, if it is none."""
    if row.expected is not None and row.expected not in labels:
        return Unusable(row.place, f"expected: {row.expected[:100]!r} is no class of the domain")
    if isinstance(row.picture, str) and not _is_web(row.picture):
        return Unusable(row.place, "image_url: is no http or https URL")
    if isinstance(row.picture, bytes) and not row.picture:
        return Unusable(row.place, "is empty")
    return None


def _is_web(url: str) -> bool:
    if any(ord(sign) <= 32 for sign in url):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


async def in_groups(rows: Iterator[Row | Unusable]) -> AsyncIterator[list[Row | Unusable]]:
    """Read in threads, and never more than is held at a time."""
    while group := await asyncio.to_thread(_group, rows):
        yield group


def _group(rows: Iterator[Row | Unusable]) -> list[Row | Unusable]:
    group: list[Row | Unusable] = []
    held = 0
    for row in islice(rows, TAKEN_AT_ONCE):
        group.append(row)
        held += len(row.picture) if isinstance(row, Row) else 0
        if held > TAKEN_BYTES:
            break
    return group
