"""One picture, from its source to its stored result."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any

import structlog

from app.budget import Payer
from app.calibration import Calibrations
from app.classification import record
from app.classification.asking import Asked, Asking
from app.classification.intake import Intake, Picture
from app.classification.question import Question, check_label
from app.classification.reviewing import Reviewing
from app.classification.stopwatch import Stopwatch
from app.domains import Domain, DomainRegistry
from app.errors import (
    ClassifierError,
    InternalError,
    Interrupted,
    ResultNotFound,
    StorageUnavailable,
)
from app.identifiers import RESULT, new_id
from app.ledger import Kind, LedgerEntry
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
from app.telemetry.metrics import Metrics
from app.telemetry.trace import UNTRACED, Trace, Tracing, current, told
from app.traffic import Books

log = structlog.stdlib.get_logger(__name__)

FETCHING = 16
"""Of them, that are fetched and decoded at once: each may be 20 MB."""

LOOKED_AT_EVERY_S = 0.25
"""Between two looks at a result that another process works on."""

STORE_WAITS_S = (0.1, 0.5, 2.0)
"""Between attempts to store an answer while the database is locked or full."""


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
        metrics: Metrics,
        tracing: Tracing,
        ledger: LedgerRepository,
        tallies: TallyRepository,
        reviewing: Reviewing,
        books: Books,
        calibrations: Calibrations,
        default_provider: str,
        shared: bool = False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`shared`: other processes answer pictures, too, and keep the results in one place."""
        self._domains = domains
        self._intake = intake
        self._asking = asking
        self._results = results
        self._answers = answers
        self._metrics = metrics
        self._tracing = tracing
        self._ledger = ledger
        self._tallies = tallies
        self._reviewing = reviewing
        self._books = books
        self._calibrations = calibrations
        self._default_provider = default_provider
        self._shared = shared
        self._sleep = sleep
        self._running: dict[str, asyncio.Task[Result]] = {}
        self.draining = False
        """Nothing more is to be begun."""
        self.stopping = False
        """What runs still is cut off."""
        self._fetching = asyncio.Semaphore(FETCHING)

    async def classify(self, question: Question, *, result_id: str | None = None) -> Result:
        """The stored result. Raises what the stages raise; a ProviderError names its row."""
        result_id = result_id or new_id(RESULT, question.asked_at)
        domain = await self.checked_domain(question)
        stopwatch = Stopwatch(self._metrics)
        task = self.start(result_id, self._classify(result_id, question, domain, stopwatch))
        return await asyncio.shield(task)

    async def answer(self, question: Question) -> Answered:
        """What comes of it, whatever goes wrong. Nothing is stored: that is for who asked."""
        domain = await self._domains.find(question.domain)
        stopwatch = Stopwatch(self._metrics)
        of_batch = {} if question.batch_id is None else {"batch_id": question.batch_id}
        with self._tracing.work("item", of_batch) as trace:
            answered = await self.outcome(new_id(RESULT), question, domain, None, stopwatch)
            trace.tell(**told(answered.result))
        return replace(answered, trace=trace)

    def beside(self, answered: Sequence[Answered]) -> Unit[None] | None:
        """What is to be stored beside the rows: entries of the ledger, new answers, kept for the
        next who ask, and what waits for a person."""
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
        """With what is beside them. Whoever looks for a kept answer from now on finds it."""
        for each in answered:
            if each.asked is not None:
                each.asked.settled()
                self._books.booked(each.asked.entries)

    async def look_ahead(self, digests: Sequence[str], domain: str, provider: str | None) -> None:
        """Learn at once which of these pictures, by their SHA-256, have no answer yet: questions
        about them are then answered without a look for each. Raises DomainNotFound,
        ProviderUnknown, StorageUnavailable."""
        known = await self._domains.find(domain)
        await self._intake.look_ahead(digests, known, self._chain(provider, known))

    async def is_metered(self, domain: str, provider: str | None) -> bool:
        """Whether answers wait for a quota, and not for this machine. Raises DomainNotFound,
        ProviderUnknown."""
        known = await self._domains.find(domain)
        return await self._intake.is_metered(self._chain(provider, known), known)

    def works_on(self, result_id: str) -> bool:
        return result_id in self._running

    @property
    def running(self) -> int:
        """Pictures under way."""
        return len(self._running)

    async def wait_for(self, result_id: str, *, seconds: float) -> None:
        """Return when the picture is answered, or the time is over, or nobody works on it."""
        task = self._running.get(result_id)
        if task is not None and seconds > 0:
            await asyncio.wait([task], timeout=seconds)
        elif self._shared:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._answered_elsewhere(result_id)

    async def _answered_elsewhere(self, result_id: str) -> None:
        while True:
            with suppress(ResultNotFound):
                if not (await self._results.get(result_id, caller=None)).is_pending:
                    return
            await asyncio.sleep(LOOKED_AT_EVERY_S)

    async def drain(self, *, seconds: float) -> None:
        """Let what runs end; what does not in time is stopped."""
        self.draining = True
        if self._running:
            _, late = await asyncio.wait(self._running.values(), timeout=seconds)
            self.stopping = True
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def start(self, result_id: str, work: Any) -> asyncio.Task[Result]:
        """Run what brings this result, though whoever waits for it goes away."""
        task: asyncio.Task[Result] = asyncio.create_task(work)
        self._running[result_id] = task
        self._metrics.classification_started()
        task.add_done_callback(lambda _: self._ended(result_id))
        return task

    def _ended(self, result_id: str) -> None:
        del self._running[result_id]
        self._metrics.classification_finished()

    async def checked_domain(self, question: Question) -> Domain:
        """Raises DomainNotFound, LabelNotInDomain."""
        domain = await self._domains.find(question.domain)
        current().tell(domain=domain.name)
        check_label(question.expected, domain)
        return domain

    async def _classify(
        self, result_id: str, question: Question, domain: Domain, stopwatch: Stopwatch
    ) -> Result:
        picture = await self._take(question, domain, stopwatch)
        try:
            asked = await self._ask(question, domain, picture, stopwatch)
            result = record.completed(
                result_id, question, domain, picture, asked, stopwatch, self._calibrations
            )
            to_review = await self._reviewing.of(result, domain, picture)
            answered = Answered(result, None, asked, _kept(picture, asked), to_review)
            stored = await self.store(
                self._results.insert,
                answered,
                stopwatch,
                beside=self.beside([answered]),
                waits_s=STORE_WAITS_S,
            )
        except ClassifierError as error:
            self._tallies.count_unanswered(question.caller, domain.name, error.slug())
            self._metrics.unanswered(domain.name, error.slug())
            raise
        if isinstance(asked.outcome, ClassifierError):
            asked.outcome.result_id = result_id
            raise asked.outcome
        return stored or result

    async def outcome(
        self,
        result_id: str,
        question: Question,
        domain: Domain,
        picture: Picture | None,
        stopwatch: Stopwatch,
    ) -> Answered:
        """The result of this id, whatever goes wrong."""
        asked: Asked | None = None
        failure: ClassifierError
        try:
            if picture is None:
                async with self._fetching:
                    picture = await self.take_small(question, domain, stopwatch)
            asked = await self._ask(question, domain, picture, stopwatch)
            result = record.completed(
                result_id, question, domain, picture, asked, stopwatch, self._calibrations
            )
            error = asked.outcome if isinstance(asked.outcome, ClassifierError) else None
            to_review = await self._reviewing.of(result, domain, picture)
            return Answered(result, error, asked, _kept(picture, asked), to_review)
        except asyncio.CancelledError:
            failure = Interrupted()
        except ClassifierError as error:
            failure = error
        except Exception:
            log.exception("an accepted picture met an unexpected error", result_id=result_id)
            failure = InternalError("The service made a mistake.")
        return Answered(record.failed(result_id, question, domain, failure), failure, asked)

    async def _take(self, question: Question, domain: Domain, stopwatch: Stopwatch) -> Picture:
        names = self._chain(question.provider, domain)
        return await self._intake.take(question, domain, names, stopwatch)

    async def take_small(self, question: Question, domain: Domain, stopwatch: Stopwatch) -> Picture:
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
            return self._with_saving(Asked.of(picture.basis), "kept", question)
        began = time.perf_counter()
        asked = await self._asking.ask(
            self._chain(question.provider, domain),
            picture.basis,
            domain,
            key=None if question.fresh else picture.key,
            payer=question.payer,
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
        return self._with_saving(asked, "shared", question)

    def _with_saving(self, asked: Asked, kind: Kind, question: Question) -> Asked:
        """With an entry for what it saved to ask nobody, or nobody further, where that would have
        been billed."""
        answer = asked.outcome
        if asked.again:
            worth_usd = asked.saved_usd
        else:
            kind, worth_usd = "cascade", asked.spent.spared_usd
        if isinstance(answer, ClassifierError) or worth_usd is None:
            return asked
        entry = self._books.saved(
            kind,
            question.payer,
            question.domain,
            provider=asked.spent.provider or "",
            model=answer.model,
            deployment=answer.deployment,
            worth_usd=worth_usd,
        )
        entries = [entry] if asked.again else [*asked.entries, entry]
        return replace(asked, spent=replace(asked.spent, entries=entries))

    def saved_by_duplicate(self, batch_id: str, result: Result, worth_usd: Decimal) -> LedgerEntry:
        """Of a batch: the entry for an answer that another item has paid for."""
        entry = self._books.saved(
            "duplicate",
            Payer(result.caller, batch_id),
            result.domain,
            provider=result.provider or "",
            model=result.model or "",
            deployment=result.deployment,
            worth_usd=worth_usd,
        )
        entry.result_id = result.id
        return entry

    async def store(
        self,
        write: Callable[[Result, Unit[None] | None], Awaitable[Result | None]],
        answered: Answered,
        stopwatch: Stopwatch,
        *,
        beside: Unit[None] | None,
        waits_s: Iterable[float],
    ) -> Result | None:
        """Keep what may have cost something, though the database is locked or full for a while.
        Returns what is stored; None: what there is of it is another's, or was deleted."""
        result = answered.result
        with stopwatch.time("store"):
            try:
                stored = await self._write(partial(write, result, beside), waits_s)
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

    async def _write(
        self, write: Callable[[], Awaitable[Result | None]], waits_s: Iterable[float]
    ) -> Result | None:
        for wait_s in waits_s:
            with suppress(StorageUnavailable):
                return await write()
            await self._sleep(wait_s)
        return await write()

    def _chain(self, provider: str | None, domain: Domain) -> tuple[str, ...]:
        """Who is asked, in this order."""
        if provider:
            return (provider,)
        return domain.providers or (self._default_provider,)


def _kept(picture: Picture, asked: Asked) -> dict[str, KeptAnswer]:
    """A new answer by its key, if it is one."""
    kept = record.to_keep(picture, asked)
    return {} if kept is None else {picture.keys[kept.provider]: kept}
