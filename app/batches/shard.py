"""One shard of a batch: its pictures are classified, and their results committed in groups."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial

import structlog

from app.batches.reading import source_of
from app.budget import Budget, budget_of_batch
from app.classification import Answered, ClassificationService, Question, Storing, log_item
from app.errors import (
    BudgetSpent,
    DomainNotFound,
    Interrupted,
    Overloaded,
    ProviderRateLimited,
    ProviderUnavailable,
    ProviderUnknown,
    StorageUnavailable,
)
from app.storage import BatchItem, BatchRow, BatchStatus, ItemOutcome, ShardRepository, Unit
from app.storage.batch_rows import DIGEST, UNFINISHED
from app.storage.patience import patiently, until_set
from app.telemetry.metrics import Metrics
from app.telemetry.trace import Trace
from app.traffic import Lane

log = structlog.stdlib.get_logger(__name__)

LASTS_S = 60.0
"""Seconds of work on a shard; then others have their turn."""

LINGER_S = 0.5
"""Seconds that an answer waits to be committed with others."""

MOST_ATTEMPTS = 8
"""How often an item is tried whose provider is down."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 60.0
"""Seconds until a shard is continued whose provider is down; the pause doubles each time."""

WORTH_ANOTHER_TRY = (
    ProviderUnavailable,
    ProviderRateLimited,
    Overloaded,
    StorageUnavailable,
    Interrupted,
    BudgetSpent,
)


class Shard:
    """By `attempt`, the database knows whether another process has taken the shard over."""

    def __init__(
        self,
        batch: BatchRow,
        number: int,
        attempt: int,
        *,
        shards: ShardRepository,
        classification: ClassificationService,
        storing: Storing,
        metrics: Metrics,
        room: asyncio.Semaphore,
        stopping: asyncio.Event,
        clock: Callable[[], datetime],
    ) -> None:
        self.batch_id = batch.id
        self.lane: Lane = batch.lane
        self.budget_usd = batch.budget_usd
        self.spent: BudgetSpent | None = None
        """Why no more calls may be made."""
        self._held_up = False
        self._batch = batch
        self._number = number
        self._attempt = attempt
        self._shards = shards
        self._classification = classification
        self._storing = storing
        self._metrics = metrics
        self._room = room
        self._stopping = stopping
        self._clock = clock
        self.status: BatchStatus | None = "running"
        """The batch's status, as far as is known; None: another process has the shard now."""

    def take_budget(self, amount_usd: Decimal | None) -> None:
        """Use this budget from now on; a new amount may be enough where the old one was not."""
        if amount_usd != self.budget_usd:
            self.budget_usd, self.spent = amount_usd, None

    @property
    def _budget(self) -> Budget | None:
        batch = self._batch
        return budget_of_batch(batch.id, self.budget_usd, caller=batch.caller, domain=batch.domain)

    async def work(self, items: Sequence[BatchItem]) -> float | None:
        """Classify `items`, for a minute at most. Returns the seconds after which to continue;
        None: not at all."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + LASTS_S
        answers: asyncio.Queue[tuple[BatchItem, Answered | None]] = asyncio.Queue()

        async def one(item: BatchItem) -> None:
            async with self._room:
                answered = None
                if loop.time() < ends_at and self._goes_on():
                    with suppress(DomainNotFound):  # the next task meets it and ends the batch
                        budget_usd = self.budget_usd
                        answered = self._within(budget_usd, await self._classify(item))
            answers.put_nowait((item, answered))

        # Without it, each item makes its own lookup in its turn, and then errors show.
        with suppress(StorageUnavailable, DomainNotFound, ProviderUnknown):
            await self._look_ahead(items)
        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(one(item))
            return await self._gather(answers, len(items))

    async def _look_ahead(self, items: Sequence[BatchItem]) -> None:
        digests = [
            each.source.removeprefix(DIGEST) for each in items if each.source.startswith(DIGEST)
        ]
        await self._classification.look_ahead(digests, self._batch.domain, self._batch.provider)

    def _within(self, budget_usd: Decimal | None, answered: Answered) -> Answered | None:
        """None: nothing was spent, because too little was left. This stops the whole batch, unless
        its budget was changed meanwhile."""
        if not isinstance(answered.error, BudgetSpent):
            return answered
        if budget_usd == self.budget_usd:
            self.spent = answered.error
        return None if answered.asked is None else answered

    def _goes_on(self) -> bool:
        deadline = self._batch.deadline
        return (
            self.status in UNFINISHED
            and not self._stopping.is_set()
            and not self._held_up
            and self.spent is None
            and (deadline is None or self._clock() < deadline)
        )

    async def _gather(
        self, answers: "asyncio.Queue[tuple[BatchItem, Answered | None]]", count: int
    ) -> float | None:
        """Commit answers as they come, a group at a time. Returns what `work` does."""
        put_off: list[BatchItem] = []
        untaken = 0
        while count:
            group = await self._group(answers, count)
            count -= len(group)
            taken = [(item, answered) for item, answered in group if answered is not None]
            untaken += len(group) - len(taken)
            if not taken:
                continue
            outcomes = [self._outcome(item, answered) for item, answered in taken]
            put_off += [each.item for each in outcomes if each.again]
            answered = [each for _, each in taken]
            after = await self._store(outcomes, answered)
            if after is None:
                self.status = None
                return None
            self.status, self.lane = after.status, after.lane
            self._storing.stored(answered)
            for outcome, each in zip(outcomes, answered, strict=True):
                self._told(outcome, each.trace)
        if self.status not in UNFINISHED:
            return None
        if put_off:
            attempts = max(each.attempts for each in put_off)
            return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**attempts)
        return 0.0 if untaken else None

    def _told(self, outcome: ItemOutcome, trace: Trace) -> None:
        if outcome.again:
            self._metrics.item("again")
            return
        for number, result in {outcome.item.number: outcome.result, **outcome.twins}.items():
            self._metrics.item(result.status)
            self._metrics.result(result, trace_id=trace.trace_id)
            log_item(trace, result, item=number)

    async def _store(
        self, outcomes: Sequence[ItemOutcome], answers: Sequence[Answered]
    ) -> BatchRow | None:
        """Store a group. An answer that can never be stored becomes a failure, without affecting
        the others."""
        try:
            return await self._commit(outcomes, self._storing.beside(answers))
        except StorageUnavailable:
            raise
        except Exception:
            log.exception("answers can't be stored", batch_id=self.batch_id, count=len(outcomes))
        after = None
        for each, answered in zip(outcomes, answers, strict=True):
            try:
                after = await self._commit([each], self._storing.beside([answered]))
            except StorageUnavailable:
                raise
            except Exception:
                left = answered.unstorable()
                after = await self._commit(
                    [replace(each, result=left.result)], self._storing.beside([left])
                )
            if after is None:
                return None
        return after

    async def _commit(
        self, outcomes: Sequence[ItemOutcome], beside: Unit[None] | None
    ) -> BatchRow | None:
        """Retries while the database is locked or full, because answers may have cost something."""
        commit = partial(
            self._shards.commit, self._batch, self._number, self._attempt, outcomes, beside
        )
        after = await patiently(commit, until_set(self._stopping), sleep=self._held_up_for)
        self._held_up = False
        return after

    async def _held_up_for(self, seconds: float) -> None:
        self._held_up = True  # pay for no more answers that can't be stored
        await asyncio.sleep(seconds)

    async def _group(
        self, answers: "asyncio.Queue[tuple[BatchItem, Answered | None]]", count: int
    ) -> list[tuple[BatchItem, Answered | None]]:
        """The next answers, at most as many as are committed together."""
        most = min(count, self._batch.batch_size)
        group = [await answers.get()]
        try:
            async with asyncio.timeout(LINGER_S):
                while len(group) < most:
                    group.append(await answers.get())
        except TimeoutError:
            pass
        return group

    async def _classify(self, item: BatchItem) -> Answered:
        batch = self._batch
        question = Question(
            source_of(item.source),
            batch.domain,
            batch.caller,
            provider=batch.provider,
            expected=item.expected,
            metadata=item.metadata,
            lane=self.lane,
            batch_id=batch.id,
            budget=self._budget,
        )
        return await self._classification.answer(question)

    def _outcome(self, item: BatchItem, answered: Answered) -> ItemOutcome:
        asked = answered.asked
        again = isinstance(answered.error, WORTH_ANOTHER_TRY) and item.attempts + 1 < MOST_ATTEMPTS
        saved_usd = None if asked is None else asked.worth_usd
        return ItemOutcome(item, answered.result, again=again, worth_usd=saved_usd)
