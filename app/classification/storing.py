"""Stores an answer with all that belongs to it in one transaction, and retries in an outage."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from app.classification import record
from app.classification.asking import Asked
from app.classification.question import Question
from app.classification.stopwatch import Stopwatch
from app.errors import ClassifierError, StorageUnavailable
from app.ledger import LedgerEntry
from app.result import Result
from app.storage import (
    AnswerRepository,
    KeptAnswer,
    LedgerRepository,
    ResultRepository,
    TallyRepository,
    ToReview,
    Unit,
    both,
    queueing,
)
from app.storage.patience import patiently
from app.telemetry.metrics import Metrics
from app.telemetry.trace import UNTRACED, Trace, current, told
from app.traffic import Books

log = structlog.stdlib.get_logger(__name__)

FEW_WAITS_S = (0.1, 0.5, 2.0)
STORE_WAITS_S = (*FEW_WAITS_S, 5.0)
"""Seconds between attempts to store an answer while the database is locked, full or away: together
more than PostgreSQL takes to restart, as the answer is paid for."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A result that is to be stored.

    Attributes:
        error: why there is no answer.
        kept: the answer by its key, where it is a new one.
        to_review: where a person should look at it.
        trace: of a picture that no request waits for.
    """

    result: Result
    error: ClassifierError | None
    asked: Asked | None
    kept: Mapping[str, KeptAnswer] = field(default_factory=dict)
    to_review: ToReview | None = None
    trace: Trace = UNTRACED

    def unstorable(self) -> "Answered":
        """What is left if no database accepts the answer: that it failed, and what it cost."""
        return replace(self, result=record.unstorable(self.result), kept={}, to_review=None)


class Storing:
    def __init__(
        self,
        results: ResultRepository,
        ledger: LedgerRepository,
        answers: AnswerRepository,
        tallies: TallyRepository,
        books: Books,
        metrics: Metrics,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._results = results
        self._ledger = ledger
        self._answers = answers
        self._tallies = tallies
        self._books = books
        self._metrics = metrics
        self._sleep = sleep

    def beside(self, answered: Sequence[Answered]) -> Unit[None] | None:
        """What to store beside the rows: ledger entries, new answers that are kept for later
        requests, and what waits for a person."""
        kept: dict[str, KeptAnswer] = {}
        entries: list[LedgerEntry] = []
        for each in answered:
            kept |= each.kept
            if each.asked is not None:
                for entry in each.asked.entries:
                    entry.result_id = each.result.id
                    entries.append(entry)
        to_review = [each.to_review for each in answered if each.to_review is not None]
        return both(self._ledger.booking(entries), self._answers.keeping(kept), queueing(to_review))

    def stored(self, answered: Sequence[Answered]) -> None:
        """Note that these are stored, with what is beside them. A lookup of a kept answer finds
        them from now on."""
        for each in answered:
            if each.asked is not None:
                each.asked.settled()
                self._books.booked(each.asked.entries)

    def unanswered(self, question: Question, error: ClassifierError) -> None:
        """Count a picture that has no result."""
        self._tallies.count_unanswered(question.caller, question.domain, error.slug())
        self._metrics.unanswered(question.domain, error.slug())

    async def insert(self, answered: Answered, stopwatch: Stopwatch) -> Result | None:
        """Store a new result. Raises and returns what `store` does."""
        beside = self.beside([answered])
        return await self.store(self._results.insert, answered, stopwatch, beside=beside)

    async def store(
        self,
        write: Callable[[Result, Unit[None] | None], Awaitable[Result | None]],
        answered: Answered,
        stopwatch: Stopwatch,
        *,
        beside: Unit[None] | None,
        waits_s: Iterable[float] = STORE_WAITS_S,
    ) -> Result | None:
        """Store what may have cost something, and retry while the database can't take it.
        Returns what is stored; None: another process stored its own, or the result was deleted."""
        result = answered.result
        with stopwatch.time("store"):
            try:
                stored = await patiently(partial(write, result, beside), waits_s, sleep=self._sleep)
            except (StorageUnavailable, asyncio.CancelledError):
                kept = result.model_dump(mode="json", exclude={"metadata"})
                log.exception("an answer may be lost: it could not be stored", **kept)
                raise
            finally:
                if answered.asked is not None:
                    answered.asked.settled()
            self.stored([answered])
            if stored is not None:
                trace = current()
                trace.tell(**told(stored))
                self._metrics.result(stored, trace_id=trace.trace_id)
            return stored
