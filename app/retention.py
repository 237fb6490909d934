"""Deletes what is kept for a limited time only."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import structlog

from app.settings_groups import RetentionSettings
from app.storage import BlobStore, RetentionRepository
from app.storage.idempotency import KEPT_FOR

log = structlog.stdlib.get_logger(__name__)

AGE_OF_BLOBS = timedelta(hours=2)
"""Younger blobs may belong to a batch that is still being received, for an hour at most, and whose
items are not there yet."""


@dataclass(frozen=True, slots=True)
class Swept:
    """How many were deleted.

    Attributes:
        results: deleted for their own age; those of the batches are not counted.
        pictures: uploads, those that reviewers saw, and what is left of uploads that were cut off
            or refused.
        keys: idempotency keys.
        deliveries: of events to webhooks.
        entries: of the ledger.
        alerts: those that resolved.
        audit: entries of the audit log.
    """

    batches: int
    results: int
    pictures: int
    keys: int
    deliveries: int = 0
    entries: int = 0
    alerts: int = 0
    audit: int = 0

    def __bool__(self) -> bool:
        return any(astuple(self))


class Retention:
    """Several processes may run this at once: each deletes what it still finds."""

    def __init__(
        self,
        stored: RetentionRepository,
        blobs: BlobStore,
        policy: RetentionSettings,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._stored = stored
        self._blobs = blobs
        self._policy = policy
        self._clock = clock

    async def delete_batch(self, batch_id: str) -> bool:
        """Delete a batch with its items and their results; the next sweep deletes its pictures.
        False: the batch is not over. Raises StorageUnavailable; the next sweep then deletes what is
        left."""
        return await self._stored.delete_batch(batch_id)

    async def keep_to_policy(self) -> None:
        """Sweep, and log if something was deleted. Raises StorageUnavailable."""
        if swept := await self.sweep():
            log.info("what was old is deleted", **asdict(swept))

    async def sweep(self, *, now: datetime | None = None, dry_run: bool = False) -> Swept:
        """Delete what is too old at `now`, or only count it. Raises StorageUnavailable."""
        now = now or self._clock()
        return Swept(
            results=await self._results(now, dry_run=dry_run),
            batches=await self._batches(now, dry_run=dry_run),
            keys=await self._keys(now, dry_run=dry_run),
            pictures=await self._pictures(now, dry_run=dry_run),
            deliveries=await self._deliveries(now, dry_run=dry_run),
            entries=await self._entries(now, dry_run=dry_run),
            alerts=await self._alerts(now, dry_run=dry_run),
            audit=await self._audit(now, dry_run=dry_run),
        )

    async def _results(self, now: datetime, *, dry_run: bool) -> int:
        before = _ago(now, self._policy.results)
        if before is None:
            return 0
        delete = partial(self._stored.delete_results, before=before)
        return await _older(before, self._stored.old_results, delete, dry_run=dry_run)

    async def _batches(self, now: datetime, *, dry_run: bool) -> int:
        before = _ago(now, self._policy.batches)
        count = 0
        async for page in _pages(lambda after: self._stored.old_batches(before, after=after)):
            for batch_id in page:
                count += dry_run or await self._stored.delete_batch(batch_id, ended_before=before)
        return count

    async def _keys(self, now: datetime, *, dry_run: bool) -> int:
        before = now - KEPT_FOR
        if dry_run:
            return await self._stored.count_keys(before)
        count = 0
        while some := await self._stored.delete_keys(before):
            count += some
        return count

    async def _deliveries(self, now: datetime, *, dry_run: bool) -> int:
        before = _ago(now, self._policy.deliveries)
        if before is None:
            return 0
        delete = partial(self._stored.delete_deliveries, before=before)
        count = await _older(before, self._stored.old_deliveries, delete, dry_run=dry_run)
        if not dry_run:
            await self._forget_untold(before)
        return count

    async def _entries(self, now: datetime, *, dry_run: bool) -> int:
        old, delete = self._stored.old_entries, self._stored.delete_entries
        return await _older(_ago(now, self._policy.ledger), old, delete, dry_run=dry_run)

    async def _alerts(self, now: datetime, *, dry_run: bool) -> int:
        old, delete = self._stored.old_alerts, self._stored.delete_alerts
        return await _older(_ago(now, self._policy.alerts), old, delete, dry_run=dry_run)

    async def _audit(self, now: datetime, *, dry_run: bool) -> int:
        old, delete = self._stored.old_audit, self._stored.delete_audit
        return await _older(_ago(now, self._policy.audit), old, delete, dry_run=dry_run)

    async def _forget_untold(self, before: datetime) -> None:
        last = 0
        while numbers := await self._stored.untold_events(before, after=last):
            await self._stored.delete_events(numbers)
            last = numbers[-1]
        await self._stored.delete_unused_callbacks(before)

    async def _pictures(self, now: datetime, *, dry_run: bool) -> int:
        before = now - AGE_OF_BLOBS
        # Pictures are deleted with their batch: none outlives it.
        ends = (_ago(now, self._policy.batches), _ago(now, self._policy.pictures))
        ended_before = max((each for each in ends if each is not None), default=None)
        answered_before = _ago(now, self._policy.reviews)
        count = 0
        async for names in self._blobs.old(before):
            needed = await self._stored.needed(names, ended_before, answered_before)
            gone = [name for name in names if name not in needed]
            if dry_run:
                count += len(gone)
            else:
                count += await self._blobs.remove(gone, before)
                await self._stored.forget_pictures(gone, before)
        return count


def _ago(now: datetime, days: float | None) -> datetime | None:
    return None if days is None else now - timedelta(days=days)


class Old(Protocol):
    """Returns a page of ids, following `after`, of what is older than `before`."""

    def __call__(self, before: datetime, *, after: str) -> Awaitable[list[str]]: ...


async def _older(
    before: datetime | None,
    old: Old,
    delete: Callable[[Sequence[str]], Awaitable[int]],
    *,
    dry_run: bool,
) -> int:
    """Delete what is older than `before`, page by page, or only count it. None: all is kept."""
    if before is None:
        return 0
    count = 0
    async for page in _pages(lambda after: old(before, after=after)):
        count += len(page) if dry_run else await delete(page)
    return count


async def _pages(
    page_after: Callable[[str], Awaitable[Sequence[str]]],
) -> AsyncIterator[Sequence[str]]:
    after = ""
    while page := await page_after(after):
        yield page
        after = page[-1]
