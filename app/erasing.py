"""Erases a result, or all that is a caller's: docs/erasure.md says what goes and what stays."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context
from datetime import datetime, timedelta
from functools import partial

import structlog

from app.errors import InvalidRequest, StorageUnavailable
from app.evaluation import without
from app.identifiers import CALL, lowest_id
from app.ledger import ERASED
from app.retention import AGE_OF_BLOBS
from app.storage import (
    BlobStore,
    ErasureRepository,
    EvaluationRepository,
    Outbox,
    ResultRepository,
    RetentionRepository,
)
from app.storage.audit import By
from app.storage.erasures import KEPT_FOR, Erasure

log = structlog.stdlib.get_logger(__name__)

LATE_FOR = timedelta(hours=1)
"""For how long what was in progress, such as a call whose cost was not booked, is looked for."""


class Erasing:
    """Several processes may run this at once: each erases what it still finds."""

    def __init__(
        self,
        stored: ErasureRepository,
        kept: RetentionRepository,
        results: ResultRepository,
        evaluations: EvaluationRepository,
        blobs: BlobStore,
        outbox: Outbox,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._stored = stored
        self._kept = kept
        self._results = results
        self._evaluations = evaluations
        self._blobs = blobs
        self._outbox = outbox
        self._clock = clock
        self._running: dict[str, asyncio.Task[Erasure]] = {}
        self._log_holds_erased: bool | None = None
        """None: not known, as an earlier process may have left some there."""

    async def result(self, result_id: str, *, caller: str | None, by: By) -> None:
        """Erase one result. `caller` None: an operator asks. Raises ResultNotFound, and
        StorageUnavailable: a repeated request then continues, or finds no result any more, in which
        case the hourly sweep removes its picture."""
        result = await self._results.get(result_id, caller=caller)
        if result.expected is not None:
            pictures = [] if result.image is None else [result.image.sha256]
            names = [result_id, *pictures]
            for each in await self._evaluations.naming(names):
                await self._evaluations.rewrite(each, partial(without, gone=names))
        gone = await self._stored.result(result_id, caller=caller, by=by)
        self._log_holds_erased = True
        await self._remove(gone.blobs)

    async def caller(self, name: str, by: By, *, wait_s: float | None = None) -> Erasure:
        """Erase all that is this caller's up to now, or, if an erasure is in progress, up to when
        that was requested; the caller's batches end. Returns how far it is after `wait_s`; None:
        when it is done. The rest is erased in the background, even if this process is killed.
        Raises InvalidRequest for the name under which costs of erased callers are kept,
        StorageUnavailable."""
        if name == ERASED:
            raise InvalidRequest("Nobody has this name: costs of erased callers are kept under it.")
        task = self._running.get(name)
        if task is None:
            erasure = await self._stored.begin(name, by, self._clock())
            task = asyncio.create_task(self._erase(erasure), context=Context())
            self._running[name] = task
            task.add_done_callback(lambda done: self._ended(name, done))
        done, _ = await asyncio.wait([task], timeout=wait_s)
        return task.result() if done else await self._stored.get(name)

    async def look(self) -> None:
        """Continue erasures that a process left unfinished, erase what was in progress when an
        erasure was requested, and empty SQLite's log of what was erased. Raises
        StorageUnavailable."""
        now = self._clock()
        for each in await self._stored.all():
            is_late = each.ended_at is not None and each.asked_at < now - LATE_FOR
            if not is_late and each.caller not in self._running:
                await self._erase(each)
        await self._stored.forget(now - KEPT_FOR)
        if self._log_holds_erased is not False:
            await self._empty_log()

    async def aclose(self) -> None:
        """Stop erasures in progress; the next start continues them."""
        running = list(self._running.values())
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self._log_holds_erased:
            with suppress(StorageUnavailable):
                await self._empty_log()

    async def _empty_log(self) -> None:
        self._log_holds_erased = emptied = False
        try:
            emptied = await self._stored.empty_log()
        finally:
            # What was erased meanwhile may be in it again.
            self._log_holds_erased = self._log_holds_erased or not emptied

    def _ended(self, name: str, done: asyncio.Task[Erasure]) -> None:
        if self._running.get(name) is done:
            del self._running[name]
        if not done.cancelled() and done.exception() is not None:
            log.warning("an erasure is put off", reason=str(done.exception()))

    async def _erase(self, erasure: Erasure) -> Erasure:
        """Erases in an order that leaves nothing behind that could not be found again."""
        batches = await self._stored.batches(erasure)
        for each in batches:
            await self._stored.stop_batch(each)
        await self._forget_evaluated(erasure)
        while (gone := await self._stored.some_results(erasure)).results:
            await self._remove_of(erasure, gone.blobs)
        for each in batches:
            await self._remove_uploads(erasure, each)
            await self._stored.delete_batch(erasure, each)
        while names := await self._stored.some_examples(erasure):
            await self._remove_of(erasure, [each for each in names if each is not None])
        while await self._stored.some_rest(erasure):
            pass
        await self._outbox.load()
        # Once an erasure has ended, only calls that began shortly before it may be late.
        late_from = lowest_id(CALL, erasure.asked_at - LATE_FOR)
        after: str | None = "" if erasure.ended_at is None else late_from
        while after is not None:
            after = await self._stored.some_calls(erasure, after=after)
        await self._empty_log()
        return await self._stored.end(erasure, self._clock())

    async def _forget_evaluated(self, erasure: Erasure) -> None:
        """Erase what other callers' evaluations say about this caller's results."""
        names = frozenset(await self._stored.evaluated(erasure))
        if not names:
            return
        found: str | None = ""
        while found := await self._evaluations.next_of_others(erasure.caller, after=found or ""):
            await self._evaluations.rewrite(found, partial(without, gone=names))

    async def _remove_uploads(self, erasure: Erasure, batch_id: str) -> None:
        after = ""
        while names := await self._stored.uploads(batch_id, after=after):
            await self._remove_of(erasure, names)
            after = names[-1]

    async def _remove_of(self, erasure: Erasure, blobs: Sequence[str]) -> None:
        await self._stored.count_pictures(erasure, await self._remove(blobs))

    async def _remove(self, blobs: Sequence[str]) -> int:
        """Remove those blobs that nobody needs; returns how many. The hourly sweep removes what a
        crash leaves, and what a batch that is still being received may need."""
        if not blobs:
            return 0
        before = self._clock()
        if await self._stored.is_receiving():
            before -= AGE_OF_BLOBS
        needed = await self._kept.needed(blobs, None)
        return await self._blobs.remove([each for each in blobs if each not in needed], before)
