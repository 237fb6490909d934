"""Runs batches: shards are handed out as tasks, and continued when a process died."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

import structlog

from app.batches.shard import Shard
from app.classification import ClassificationService, Storing
from app.errors import (
    BatchNotFound,
    BudgetSpent,
    DomainNotFound,
    ProviderUnknown,
    StorageUnavailable,
)
from app.storage import BatchRepository, BatchRow, BatchStatus, ShardRepository
from app.storage.batch_rows import OVER, OVERDUE, UNFINISHED
from app.telemetry.metrics import Metrics
from app.traffic import Lane
from app.work import STOPPING_S, Work

log = structlog.stdlib.get_logger(__name__)

SHARD = "batch-shard"

SHARDS_AT_ONCE = 4
"""Shards of one batch per process: several batches share the workers, and none takes them all."""

IN_FLIGHT_HERE = 8
"""Pictures in progress where only this machine sets the pace: more would not be faster, and would
keep the event loop from other work."""


class BatchRunner:
    """The progress is in the database; a task is only a pointer to a shard there. Whether a process
    or all of Redis is lost, unfinished shards are found, and their tasks kicked again."""

    def __init__(
        self,
        batches: BatchRepository,
        shards: ShardRepository,
        classification: ClassificationService,
        storing: Storing,
        work: Work,
        metrics: Metrics,
        *,
        in_flight: int,
        clock: Callable[[], datetime],
    ) -> None:
        """`in_flight`: pictures of batches that this process works on at once, where they wait for
        a provider's quota."""
        self._batches = batches
        self._shard_rows = shards
        self._classification = classification
        self._storing = storing
        self._work = work
        self._metrics = metrics
        self._clock = clock
        self._room = asyncio.Semaphore(in_flight)
        self._room_here = asyncio.Semaphore(min(IN_FLIGHT_HERE, in_flight))
        self._stopping = asyncio.Event()
        self._shards: dict[Shard, asyncio.Task[Any]] = {}
        self._noticed: set[str] = set()
        work.register(SHARD, self.shard)

    async def stop(self, *, seconds: float) -> None:
        """Take no more pictures, and let those in progress finish. Those that do not finish in time
        are asked again by the process that continues the shard."""
        self._stopping.set()
        if self._shards:
            _, late = await asyncio.wait(self._shards.values(), timeout=seconds)
            for task in late:
                task.cancel()

    async def change_status(
        self,
        batch_id: str,
        status: BatchStatus,
        *,
        of: Iterable[BatchStatus],
        reason: str = "",
        resumes_at: datetime | None = None,
    ) -> bool:
        """Change the status if it is one of `of`; returns whether it was. Other processes notice
        when they `follow`."""
        if not await self._batches.change_status(
            batch_id, status, of=of, reason=reason, resumes_at=resumes_at
        ):
            return False
        for shard in self._of(batch_id):
            shard.status = status
            if status == "running":
                shard.spent = None
        return True

    async def _pause_for_budget(self, shard: Shard, spent: BudgetSpent) -> None:
        """Pause the batch, unless its budget was changed meanwhile."""
        batch = await self._batch(shard.batch_id)
        if batch is not None and batch.budget_usd == shard.budget_usd:
            await self.change_status(
                batch.id, "paused", of=UNFINISHED, reason=str(spent), resumes_at=spent.resets_at
            )

    async def change_budget(self, batch_id: str, amount_usd: Decimal | None) -> None:
        """Applies to pictures that are not asked about yet. None: there is no limit any more."""
        await self._batches.change_budget(batch_id, amount_usd)
        for shard in self._of(batch_id):
            shard.take_budget(amount_usd)

    async def change_lane(self, batch_id: str, lane: Lane) -> None:
        """Applies to pictures that are not asked about yet."""
        await self._batches.change_lane(batch_id, lane)
        for shard in self._of(batch_id):
            shard.lane = lane

    async def follow(self) -> None:
        """Notice changes to batches that this process works on, made by other processes, or while a
        shard was just beginning."""
        for batch_id in {each.batch_id for each in self._shards}:
            batch = await self._batch(batch_id)
            for shard in self._of(batch_id):
                if shard.status is not None:  # None: it is another process's now
                    shard.status = "cancelled" if batch is None else batch.status
                    if batch is not None:
                        shard.lane = batch.lane
                        shard.take_budget(batch.budget_usd)

    def _of(self, batch_id: str) -> list[Shard]:
        return [each for each in self._shards if each.batch_id == batch_id]

    async def look(self) -> None:
        """End batches that are overdue, resume those that are due, and continue all that are
        unfinished: some may have lost their tasks."""
        await self._batches.end_overdue()
        await self._batches.resume_due()
        for batch_id in await self._batches.unfinished():
            await self.go_on(batch_id)

    async def notice(self) -> None:
        """Begin batches that another process took in, such as a command beside the service."""
        unfinished = await self._batches.unfinished()
        new = [each for each in unfinished if each not in self._noticed]
        self._noticed = set(unfinished)
        for batch_id in new:
            await self.go_on(batch_id)

    async def go_on(self, batch_id: str) -> None:
        """Kick the shards that were given out and are not done, and give out more up to the limit.
        What can't be kicked now is found later."""
        try:
            await self._kick(batch_id)
        except StorageUnavailable:
            log.warning("a batch is gone on with later", batch_id=batch_id)

    async def _kick(self, batch_id: str) -> None:
        given_out = await self._shard_rows.given_out(batch_id)
        for number in given_out:
            await self._work.kick_again(SHARD, batch_id, number)
        for _ in range(SHARDS_AT_ONCE * await self._work.workers() - len(given_out)):
            if not await self._next(batch_id):
                break

    async def shard(self, batch_id: str, number: int) -> float | None:
        """Work on one shard for a while. Returns the seconds after which to continue with it; None:
        not at all."""
        if self._stopping.is_set():
            return STOPPING_S
        batch = await self._batch(batch_id)
        if batch is None or batch.status not in UNFINISHED:
            return None
        if batch.deadline is not None and batch.deadline <= self._clock():
            await self._fail(batch_id, OVERDUE)
            return None
        try:
            metered = await self._classification.is_metered(batch.domain, batch.provider)
        except (DomainNotFound, ProviderUnknown) as error:
            await self._fail(batch_id, str(error))
            return None
        attempt = await self._shard_rows.begin_shard(batch_id, number)
        items = await self._shard_rows.waiting_items(batch, number)
        shard = Shard(
            batch,
            number,
            attempt,
            shards=self._shard_rows,
            classification=self._classification,
            storing=self._storing,
            metrics=self._metrics,
            room=self._room if metered else self._room_here,
            stopping=self._stopping,
            clock=self._clock,
        )
        with self._under_way(shard):
            again_after_s = await shard.work(items)
        if shard.spent is not None:
            await self._pause_for_budget(shard, shard.spent)
        elif again_after_s is not None:
            return again_after_s
        if shard.status in ("paused", *OVER) and number in await self._left(batch_id):
            return 0.0  # the batch was resumed, or tried again, while this shard was ending
        await self._next(batch_id)
        return None

    async def _left(self, batch_id: str) -> list[int]:
        """Shards that were given out and are not done; none if the batch is paused or over."""
        batch = await self._batch(batch_id)
        if batch is None or batch.status not in UNFINISHED:
            return []
        return await self._shard_rows.given_out(batch_id)

    @contextmanager
    def _under_way(self, shard: Shard) -> Iterator[None]:
        self._shards[shard] = cast("asyncio.Task[Any]", asyncio.current_task())
        try:
            yield
        finally:
            del self._shards[shard]

    async def _fail(self, batch_id: str, reason: str) -> None:
        await self._batches.change_status(batch_id, "failed", of=UNFINISHED, reason=reason)

    async def _batch(self, batch_id: str) -> BatchRow | None:
        with suppress(BatchNotFound):
            return await self._batches.get(batch_id)
        return None

    async def _next(self, batch_id: str) -> bool:
        """Give out one more shard, if there is one."""
        number = await self._shard_rows.give_out(batch_id)
        if number is None:
            return False
        await self._work.kick(SHARD, batch_id, number)
        return True
