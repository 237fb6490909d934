"""One picture, from its source to its stored result."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import structlog

from app.classification import record
from app.classification.asking import Asked, Asking
from app.classification.intake import Intake, Picture
from app.classification.keeper import Keeper
from app.classification.question import Question, check_label
from app.classification.stopwatch import Stopwatch
from app.domains import Domain, DomainRegistry
from app.errors import (
    ClassifierError,
    InternalError,
    Interrupted,
    Overloaded,
    StorageUnavailable,
)
from app.identifiers import RESULT, new_id
from app.images import Upload, Url
from app.storage import AnswerRepository, KeptAnswer, Result, ResultRepository, Unit
from app.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger(__name__)

MAX_PENDING = 1_000
"""Accepted pictures that may wait in memory at once."""

FETCHING = 16
"""Of them, that are fetched and decoded at once: each may be 20 MB."""

STORE_WAITS_S = (0.1, 0.5, 2.0)
"""Between attempts to store an answer while the database is locked or full."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A result that is to be stored.

    Attributes:
        error: why there is no answer.
        beside: what is to be stored in the same transaction.
    """

    result: Result
    error: ClassifierError | None
    asked: Asked | None
    beside: Unit[None] | None = None

    def stored(self) -> None:
        """Whoever looks for a kept answer from now on finds it."""
        if self.asked is not None:
            self.asked.settled()


class ClassificationService:
    """Answers questions. Whatever reached a provider leaves a row, also when it failed."""

    def __init__(
        self,
        *,
        domains: DomainRegistry,
        intake: Intake,
        asking: Asking,
        results: ResultRepository,
        answers: AnswerRepository,
        keeper: Keeper | None,
        metrics: Metrics,
        default_provider: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._domains = domains
        self._intake = intake
        self._asking = asking
        self._results = results
        self._answers = answers
        self._keeper = keeper
        self._metrics = metrics
        self._default_provider = default_provider
        self._sleep = sleep
        self._running: dict[str, asyncio.Task[Result]] = {}
        self._accepting = 0
        self._stopping = False
        self._fetching = asyncio.Semaphore(FETCHING)

    async def classify(self, question: Question, *, result_id: str | None = None) -> Result:
        """The stored result. Raises what the stages raise; a ProviderError names its row."""
        result_id = result_id or new_id(RESULT, question.asked_at)
        domain = self._checked_domain(question)
        stopwatch = Stopwatch(self._metrics)
        task = self._start(result_id, self._classify(result_id, question, domain, stopwatch))
        return await asyncio.shield(task)

    async def accept(self, question: Question, *, result_id: str | None = None) -> Result:
        """A stored pending result, answered in the background. What can be said at once of a bad
        picture is raised here."""
        result_id = result_id or new_id(RESULT, question.asked_at)
        domain = self._checked_domain(question)
        if len(self._running) + self._accepting >= MAX_PENDING:
            raise Overloaded("Too many accepted pictures wait for their answer.")
        self._accepting += 1
        try:
            stopwatch = Stopwatch(self._metrics)
            picture = data = None
            if not isinstance(question.source, Url):
                data = await self._intake.read(question.source)
                question = replace(question, source=Upload(data))
                picture = await self._take_small(question, domain, stopwatch)
            pending = record.pending(result_id, question, domain)
            beside = await self._keeper.keep(result_id, question, data) if self._keeper else None
            await self._results.insert(pending, beside)
            self._start(result_id, self._finish(pending, question, domain, picture, stopwatch))
        finally:
            self._accepting -= 1
        return pending

    async def resume(self) -> int:
        """Go on with what an earlier process accepted; returns how many there are."""
        kept = await self._keeper.all() if self._keeper else []
        for result_id, question in kept:
            domain = self._domains.get(question.domain)
            pending = record.pending(result_id, question, domain)
            stopwatch = Stopwatch(self._metrics)
            self._start(result_id, self._finish(pending, question, domain, None, stopwatch))
        return len(kept)

    async def answer(self, question: Question) -> Answered:
        """What comes of it, whatever goes wrong. Nothing is stored: that is for who asked."""
        domain = self._domains.get(question.domain)
        pending = record.pending(new_id(RESULT), question, domain)
        return await self._answer(pending, question, domain, None, Stopwatch(self._metrics))

    async def is_metered(self, domain: str, provider: str | None) -> bool:
        """Whether answers wait for a quota, and not for this machine. Raises DomainNotFound,
        ProviderUnknown."""
        first = self._chain(provider, self._domains.get(domain))[0]
        return await self._intake.is_metered(first)

    async def wait_for(self, result_id: str, *, seconds: float) -> None:
        """Return when the picture is answered, or the time is over, or it is not running here."""
        task = self._running.get(result_id)
        if task is not None and seconds > 0:
            await asyncio.wait([task], timeout=seconds)

    async def drain(self, *, seconds: float) -> None:
        """Let what runs end; what does not in time is stopped."""
        if self._running:
            _, late = await asyncio.wait(self._running.values(), timeout=seconds)
            self._stopping = True
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _start(self, result_id: str, work: Any) -> asyncio.Task[Result]:
        task: asyncio.Task[Result] = asyncio.create_task(work)
        self._running[result_id] = task
        self._metrics.classification_started()
        task.add_done_callback(lambda _: self._ended(result_id))
        return task

    def _ended(self, result_id: str) -> None:
        del self._running[result_id]
        self._metrics.classification_finished()

    def _checked_domain(self, question: Question) -> Domain:
        domain = self._domains.get(question.domain)
        check_label(question.expected, domain)
        return domain

    async def _classify(
        self, result_id: str, question: Question, domain: Domain, stopwatch: Stopwatch
    ) -> Result:
        picture = await self._take(question, domain, stopwatch)
        asked = await self._ask(question, domain, picture, stopwatch)
        result = record.completed(result_id, question, domain, picture, asked, stopwatch)
        stored = await self._store(
            self._results.insert,
            result,
            stopwatch,
            asked=asked,
            beside=self._keeping(picture, asked),
            waits_s=STORE_WAITS_S,
        )
        if isinstance(asked.outcome, ClassifierError):
            asked.outcome.result_id = result_id
            raise asked.outcome
        return stored

    async def _finish(
        self,
        pending: Result,
        question: Question,
        domain: Domain,
        picture: Picture | None,
        stopwatch: Stopwatch,
    ) -> Result:
        answered = await self._answer(pending, question, domain, picture, stopwatch)
        if self._keeper is None:
            return await self._complete(answered, stopwatch, answered.beside)
        if isinstance(answered.error, Interrupted):
            return pending  # the next start asks again
        beside = self._keeper.forgetting(pending.id, answered.beside)
        result = await self._complete(answered, stopwatch, beside)
        await self._keeper.let_go(pending.id)
        return result

    async def _complete(
        self, answered: Answered, stopwatch: Stopwatch, beside: Unit[None] | None
    ) -> Result:
        return await self._store(
            self._results.complete,
            answered.result,
            stopwatch,
            asked=answered.asked,
            beside=beside,
            waits_s=self._patient_waits_s(),
        )

    async def _answer(
        self,
        pending: Result,
        question: Question,
        domain: Domain,
        picture: Picture | None,
        stopwatch: Stopwatch,
    ) -> Answered:
        """The outcome of a pending result, whatever goes wrong."""
        asked: Asked | None = None
        failure: ClassifierError
        try:
            if picture is None:
                async with self._fetching:
                    picture = await self._take_small(question, domain, stopwatch)
            asked = await self._ask(question, domain, picture, stopwatch)
            result = record.completed(pending.id, question, domain, picture, asked, stopwatch)
            error = asked.outcome if isinstance(asked.outcome, ClassifierError) else None
            return Answered(result, error, asked, self._keeping(picture, asked))
        except asyncio.CancelledError:
            failure = Interrupted()
        except ClassifierError as error:
            failure = error
        except Exception:
            log.exception("an accepted picture met an unexpected error", result_id=pending.id)
            failure = InternalError("The service made a mistake.")
        return Answered(record.failed(pending, failure), failure, asked)

    async def _take(self, question: Question, domain: Domain, stopwatch: Stopwatch) -> Picture:
        first = self._chain(question.provider, domain)[0]
        return await self._intake.take(question, domain, first, stopwatch)

    async def _take_small(
        self, question: Question, domain: Domain, stopwatch: Stopwatch
    ) -> Picture:
        """A thousand that wait hold small pixels, not the uploads."""
        picture = await self._take(question, domain, stopwatch)
        await self._intake.let_go(picture)
        return picture

    async def _ask(
        self, question: Question, domain: Domain, picture: Picture, stopwatch: Stopwatch
    ) -> Asked:
        """Raises why nobody could be asked: nothing was spent then, and nothing is to be kept."""
        if isinstance(picture.basis, KeptAnswer):
            self._metrics.answer("kept")
            return Asked.of(picture.basis)
        began = time.perf_counter()
        asked = await self._asking.ask(
            self._chain(question.provider, domain),
            picture.basis,
            domain,
            key=None if question.fresh else picture.key,
            caller=question.caller,
            lane=question.lane,
            looked_at=picture.looked_at,
        )
        if isinstance(asked.outcome, ClassifierError) and asked.spent.calls == 0:
            raise asked.outcome
        spent = asked.spent
        provider_s = time.perf_counter() - began if asked.again else spent.provider_s
        stopwatch.note("wait", spent.wait_s)
        stopwatch.note("provider", provider_s)
        self._metrics.answer("shared" if asked.again else "asked")
        return asked

    def _keeping(self, picture: Picture, asked: Asked) -> Unit[None] | None:
        """What keeps a new answer for the next who asks, beside the row that it was paid for."""
        kept = record.to_keep(picture, asked)
        return self._answers.keeping(picture.key, kept) if kept and self._answers.enabled else None

    async def _store(
        self,
        write: Callable[[Result, Unit[None] | None], Awaitable[Result]],
        result: Result,
        stopwatch: Stopwatch,
        *,
        asked: Asked | None,
        beside: Unit[None] | None,
        waits_s: Iterable[float],
    ) -> Result:
        """Keep what may have cost something, though the database is locked or full for a while."""
        with stopwatch.time("store"):
            try:
                for wait_s in waits_s:
                    with suppress(StorageUnavailable):
                        return await write(result, beside)
                    await self._sleep(wait_s)
                return await write(result, beside)
            except (StorageUnavailable, asyncio.CancelledError):
                kept = result.model_dump(mode="json", exclude={"metadata"})
                log.exception("an answer may be lost: it could not be stored", **kept)
                raise
            finally:
                self._metrics.result(domain=result.domain, status=result.status)
                if asked is not None:
                    asked.settled()

    def _patient_waits_s(self) -> Iterator[float]:
        """What was accepted may not vanish: tried until the service stops, and a few times then."""
        yield from STORE_WAITS_S
        while not self._stopping:
            yield STORE_WAITS_S[-1]

    def _chain(self, provider: str | None, domain: Domain) -> tuple[str, ...]:
        """Who is asked, in this order."""
        if provider:
            return (provider,)
        return domain.providers or (self._default_provider,)
