"""One picture, from its source to its stored result."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

import structlog

from app.calibration import Calibrations
from app.classification import record
from app.classification.asking import Asked, Asking
from app.classification.intake import Intake, Picture
from app.classification.question import Question, check_label
from app.classification.reviewing import Reviewing
from app.classification.running import Running
from app.classification.savings import Savings
from app.classification.stopwatch import Stopwatch
from app.classification.storing import Answered, Storing
from app.domains import Domain, DomainRegistry
from app.errors import ClassifierError, InternalError, Interrupted
from app.identifiers import RESULT, new_id
from app.providers.registry import ProviderRegistry
from app.result import Result
from app.storage import KeptAnswer
from app.telemetry.metrics import Metrics
from app.telemetry.trace import Tracing, current, told

log = structlog.stdlib.get_logger(__name__)

FETCHING = 16
"""How many pictures that no client waits for are fetched and decoded at once: each may be 20 MB."""


class ClassificationService:
    """Answers questions. Every question that reached a provider leaves a row, even if it failed."""

    def __init__(
        self,
        *,
        domains: DomainRegistry,
        providers: ProviderRegistry,
        intake: Intake,
        asking: Asking,
        savings: Savings,
        calibrations: Calibrations,
        reviewing: Reviewing,
        storing: Storing,
        running: Running,
        metrics: Metrics,
        tracing: Tracing,
    ) -> None:
        self._domains = domains
        self._providers = providers
        self._intake = intake
        self._asking = asking
        self._savings = savings
        self._calibrations = calibrations
        self._reviewing = reviewing
        self._storing = storing
        self._running = running
        self._metrics = metrics
        self._tracing = tracing
        self._fetching = asyncio.Semaphore(FETCHING)

    async def classify(self, question: Question, *, result_id: str | None = None) -> Result:
        """Answer the question and return the stored result. Raises what the stages raise; a
        ProviderError names its row."""
        result_id = result_id or new_id(RESULT, question.asked_at)
        domain = await self.checked_domain(question)
        work = self._classify(result_id, question, domain, Stopwatch(self._metrics))
        return await asyncio.shield(self._running.start(result_id, work))

    async def answer(self, question: Question) -> Answered:
        """Return the outcome, also when it is a failure. Storing it is left to the calling code."""
        domain = await self._domains.find(question.domain)
        stopwatch = Stopwatch(self._metrics)
        of_batch = {} if question.batch_id is None else {"batch_id": question.batch_id}
        with self._tracing.work("item", of_batch) as trace:
            answered = await self.outcome(new_id(RESULT), question, domain, None, stopwatch)
            trace.tell(**told(answered.result))
        return replace(answered, trace=trace)

    async def look_ahead(self, digests: Sequence[str], domain: str, provider: str | None) -> None:
        """Find out in bulk which of these pictures, by their SHA-256, have no answer yet: questions
        about them then need no lookup of their own. Raises DomainNotFound, ProviderUnknown,
        StorageUnavailable."""
        known = await self._domains.find(domain)
        await self._intake.look_ahead(digests, known, self._providers.chain(provider, known))

    async def is_metered(self, domain: str, provider: str | None) -> bool:
        """Whether answers are limited by a quota rather than by this machine. Raises
        DomainNotFound, ProviderUnknown."""
        known = await self._domains.find(domain)
        return await self._intake.is_metered(self._providers.chain(provider, known), known)

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
            answered = await self._judged(result_id, question, domain, picture, asked, stopwatch)
            stored = await self._storing.insert(answered, stopwatch)
        except ClassifierError as error:
            self._storing.unanswered(question, error)
            raise
        if answered.error is not None:
            answered.error.result_id = result_id
            raise answered.error
        return stored or answered.result

    async def outcome(
        self,
        result_id: str,
        question: Question,
        domain: Domain,
        picture: Picture | None,
        stopwatch: Stopwatch,
    ) -> Answered:
        """The outcome under this result id: errors become a failed result, and are not raised."""
        asked: Asked | None = None
        failure: ClassifierError
        try:
            if picture is None:
                async with self._fetching:
                    picture = await self.take_small(question, domain, stopwatch)
            asked = await self._ask(question, domain, picture, stopwatch)
            return await self._judged(result_id, question, domain, picture, asked, stopwatch)
        except asyncio.CancelledError:
            failure = Interrupted()
        except ClassifierError as error:
            failure = error
        except Exception:
            log.exception("an accepted picture met an unexpected error", result_id=result_id)
            failure = InternalError("The service made a mistake.")
        failed = record.failed(result_id, question, domain, failure, asked, stopwatch)
        return Answered(failed, failure, asked)

    async def _take(self, question: Question, domain: Domain, stopwatch: Stopwatch) -> Picture:
        names = self._providers.chain(question.provider, domain)
        return await self._intake.take(question, domain, names, stopwatch)

    async def take_small(self, question: Question, domain: Domain, stopwatch: Stopwatch) -> Picture:
        """Take the picture and let go of its upload: a thousand that wait hold only their small
        pixels."""
        picture = await self._take(question, domain, stopwatch)
        await self._intake.let_go(picture)
        return picture

    async def _ask(
        self, question: Question, domain: Domain, picture: Picture, stopwatch: Stopwatch
    ) -> Asked:
        """Raises the error if no provider could be asked: nothing was spent then, and there is
        nothing to store."""
        if isinstance(picture.basis, KeptAnswer):
            self._metrics.answer("kept")
            return self._savings.beside(Asked.of(picture.basis), question, again="kept")
        began = time.perf_counter()
        asked = await self._asking.ask(
            self._providers.chain(question.provider, domain),
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
        return self._savings.beside(asked, question, again="shared")

    async def _judged(
        self,
        result_id: str,
        question: Question,
        domain: Domain,
        picture: Picture,
        asked: Asked,
        stopwatch: Stopwatch,
    ) -> Answered:
        """The row of what the providers answered, with what is to be stored beside it."""
        result = record.completed(
            result_id, question, domain, picture, asked, stopwatch, self._calibrations
        )
        error = asked.outcome if isinstance(asked.outcome, ClassifierError) else None
        to_review = await self._reviewing.of(result, domain, picture)
        kept = record.to_keep(picture, asked)
        keyed = {} if kept is None else {picture.keys[kept.provider]: kept}
        return Answered(result, error, asked, keyed, to_review)
