"""From what a request brings to a batch that can begin."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from datetime import datetime
from itertools import count
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.batches.affording import Affording
from app.batches.reading import Reading
from app.batches.rows import Row, Unusable
from app.budget import Amount
from app.domains import DomainRegistry
from app.errors import (
    BatchNotFound,
    BatchTooLarge,
    IdempotencyKeyInUse,
)
from app.identifiers import BATCH, new_id
from app.moment import Moment
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
from app.traffic import Lane

RECEIVED_WITHIN_S = 3_600.0
"""From its first row to its last; what takes longer was left behind by a crash."""


class BatchOptions(BaseModel):
    """What goes with a batch."""

    model_config = ConfigDict(extra="forbid")
    domain: str = Field(description="Name of the domain.", examples=["flowers"])
    name: str | None = Field(
        None,
        max_length=200,
        pattern=r"^[^\x00]*$",
        description="For people.",
        examples=["March returns"],
    )
    provider: str | None = Field(
        None,
        max_length=64,
        pattern=r"^[^\x00]*$",
        description="Who shall answer instead of the domain's providers.",
        examples=["local"],
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
    deadline: Moment | None = Field(
        None, description="What is not done by then is not done at all.", examples=[None]
    )
    expected_column: str = Field(
        "expected",
        max_length=100,
        description="Column of a CSV that holds the true class.",
        examples=["expected"],
    )
    callback_url: str | None = Field(
        None,
        max_length=8_192,
        description="Told when the batch is completed, paused, failed or cancelled, signed with "
        "the service's WEBHOOK_SECRET: docs/webhooks.md.",
        examples=[None],
    )
    budget_usd: Amount | None = Field(
        None,
        description="US dollars that it may cost: then it is paused, and can be given more.",
        examples=[25],
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
        receiving: ReceivingRepository,
        batches: BatchRepository,
        keys: IdempotencyRepository,
        blobs: BlobStore,
        domains: DomainRegistry,
        reading: Reading,
        affording: Affording,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._receiving = receiving
        self._batches = batches
        self._keys = keys
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
        """As `take`; the same `key` and `fingerprint`, of all that makes a request the same, give
        the same batch. Raises IdempotencyKeyReused and IdempotencyKeyInUse, too."""
        mine = Claim(fingerprint, new_id(BATCH))
        claim = await self._keys.claim(caller, key, mine)
        if claim.result_id != mine.result_id:
            try:
                return await self._batches.get(claim.result_id)
            except BatchNotFound:
                raise IdempotencyKeyInUse(
                    "The first request with this Idempotency-Key is still being received."
                ) from None
        with self._keys.holding(mine):
            try:
                return await self.take(
                    options, rows, caller=caller, batch_id=mine.result_id, threads=threads
                )
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
        threads: Executor | None = None,
    ) -> BatchRow:
        """`rows` are read in `threads`; None: the event loop's own. Raises DomainNotFound,
        StorageUnavailable, BatchTooLarge, BudgetSpent, and what Reading raises; then nothing is
        left of it."""
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
