"""Turns what a request brings into a batch that can begin."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from datetime import datetime
from itertools import count

from app.batches.affording import Affording
from app.batches.options import BatchOptions
from app.batches.reading import Reading
from app.batches.rows import Row, Unusable
from app.domains import DomainRegistry
from app.errors import (
    BatchNotFound,
    BatchTooLarge,
    IdempotencyKeyInUse,
)
from app.identifiers import BATCH, new_id
from app.storage import (
    BadRow,
    BatchItem,
    BatchRepository,
    BatchRow,
    BlobStore,
    Claim,
    IdempotencyRepository,
    ReceivingRepository,
)
from app.storage.batch_rows import DIGEST

RECEIVED_WITHIN_S = 3_600.0
"""Seconds from a batch's first row to its last; one that takes longer was abandoned in a crash."""


class TakingIn:
    """No part of a batch is visible before all of it is there."""

    def __init__(
        self,
        receiving: ReceivingRepository,
        batches: BatchRepository,
        idempotency: IdempotencyRepository,
        blobs: BlobStore,
        domains: DomainRegistry,
        reading: Reading,
        affording: Affording,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._receiving = receiving
        self._batches = batches
        self._idempotency = idempotency
        self._blobs = blobs
        self._domains = domains
        self._reading = reading
        self._affording = affording
        self._clock = clock
        self._settings = reading.settings

    async def take_once(
        self,
        options: BatchOptions,
        rows: Iterable[Row | Unusable],
        *,
        caller: str,
        key: str,
        fingerprint: str,
        threads: Executor | None = None,
    ) -> BatchRow:
        """As `take`, but the same `key` and `fingerprint` (of everything that must match in a
        repeated request) give the same batch. Also raises IdempotencyKeyReused and
        IdempotencyKeyInUse."""
        mine = Claim(fingerprint, new_id(BATCH))
        claim = await self._idempotency.claim(caller, key, mine)
        if claim.result_id != mine.result_id:
            try:
                return await self._batches.get(claim.result_id)
            except BatchNotFound:
                raise IdempotencyKeyInUse(
                    "The first request with this Idempotency-Key is still being received."
                ) from None
        with self._idempotency.holding(mine):
            try:
                return await self.take(
                    options, rows, caller=caller, batch_id=mine.result_id, threads=threads
                )
            except BaseException:
                await self._idempotency.release(caller, key, mine)
                raise

    async def take(
        self,
        options: BatchOptions,
        rows: Iterable[Row | Unusable],
        *,
        caller: str,
        batch_id: str | None = None,
        threads: Executor | None = None,
    ) -> BatchRow:
        """`rows` are read in `threads`; None: the event loop's own. Raises DomainNotFound,
        StorageUnavailable, BatchTooLarge, BudgetSpent, and what Reading raises; then nothing of the
        batch is left."""
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
            created_at=self._clock(),
            callback_url=options.callback_url,
            budget_usd=options.budget_usd,
        )
        await self._receiving.create(batch)
        try:
            async with asyncio.timeout(RECEIVED_WITHIN_S):
                await self._store(batch.id, rows, domain.truths, threads)
            await self._affording.check(batch, domain)
            await self._receiving.received(batch.id)
        except TimeoutError:
            await self._receiving.forget(batch.id)
            raise BatchTooLarge("Taking in the batch took too long.") from None
        except BaseException:
            await self._receiving.forget(batch.id)
            raise
        return await self._batches.get(batch.id)

    async def _store(
        self,
        batch_id: str,
        rows: Iterable[Row | Unusable],
        truths: frozenset[str],
        threads: Executor | None,
    ) -> None:
        items, errors = count(), count()
        async for good, bad in self._reading.groups(rows, truths, threads):
            await self._receiving.add(
                batch_id,
                [await self._item(next(items), each) for each in good],
                [BadRow(next(errors), each.place, each.reason) for each in bad],
            )

    async def _item(self, number: int, row: Row) -> BatchItem:
        source = row.picture
        if isinstance(source, bytes):
            source = DIGEST + await self._blobs.put(source)
        return BatchItem(number, row.item_id or str(number), source, row.expected, row.metadata)
