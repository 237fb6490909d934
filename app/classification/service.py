"""One picture, from its source to its stored result."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from itertools import chain, repeat
from typing import Any

import structlog

from app.classification import record
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
from app.images import ImageReader, ImageWorkers, PreparedImage, Upload, Url, prepare
from app.providers.base import ProviderAnswer
from app.storage import Result, ResultRepository
from app.telemetry.metrics import Metrics
from app.traffic import Dispatcher, Spent

log = structlog.stdlib.get_logger(__name__)

MAX_PENDING = 1_000
"""Accepted pictures that may wait in memory at once."""

STORE_WAITS_S = (0.1, 0.5, 2.0)
"""Between attempts to store an answer while the database is locked or full."""


class ClassificationService:
    """Answers questions. Whatever reached a provider leaves a row, also when it failed."""

    def __init__(
        self,
        *,
        domains: DomainRegistry,
        reader: ImageReader,
        workers: ImageWorkers,
        dispatcher: Dispatcher,
        results: ResultRepository,
        metrics: Metrics,
        default_provider: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._domains = domains
        self._reader = reader
        self._workers = workers
        self._dispatcher = dispatcher
        self._results = results
        self._metrics = metrics
        self._default_provider = default_provider
        self._sleep = sleep
        self._running: dict[str, asyncio.Task[Result]] = {}
        self._accepting = 0

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
            image = None
            if not isinstance(question.source, Url):
                image = await self._picture(question, domain, stopwatch)
                # A thousand that wait hold small pixels, not the uploads.
                question = replace(question, source=Upload(b""))
            pending = record.pending(result_id, question, domain)
            await self._results.insert(pending)
            self._start(result_id, self._finish(pending, question, domain, image, stopwatch))
        finally:
            self._accepting -= 1
        return pending

    async def wait_for(self, result_id: str, *, seconds: float) -> None:
        """Return when the picture is answered, or the time is over, or it is not running here."""
        task = self._running.get(result_id)
        if task is not None and seconds > 0:
            await asyncio.wait([task], timeout=seconds)

    async def drain(self, *, seconds: float) -> None:
        """Let what runs end; what does not in time is stopped."""
        if self._running:
            _, late = await asyncio.wait(self._running.values(), timeout=seconds)
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
        image = await self._picture(question, domain, stopwatch)
        result, error = await self._answer(result_id, question, domain, image, stopwatch)
        await self._store(self._results.insert, result, stopwatch, waits_s=STORE_WAITS_S)
        if error is not None:
            error.result_id = result.id
            raise error
        return result

    async def _finish(
        self,
        pending: Result,
        question: Question,
        domain: Domain,
        image: PreparedImage | None,
        stopwatch: Stopwatch,
    ) -> Result:
        # Nobody waits, and what was accepted may not vanish: tried until the service stops.
        waits_s = chain(STORE_WAITS_S, repeat(STORE_WAITS_S[-1]))
        try:
            image = image or await self._picture(question, domain, stopwatch)
            result, _ = await self._answer(pending.id, question, domain, image, stopwatch)
        except asyncio.CancelledError:
            result = record.failed(pending, _interrupted())
        except ClassifierError as error:
            result = record.failed(pending, error)
        except Exception:
            result = record.failed(pending, _mistake(pending.id))
        await self._store(self._results.complete, result, stopwatch, waits_s=waits_s)
        return result

    async def _store(
        self,
        write: Callable[[Result], Awaitable[None]],
        result: Result,
        stopwatch: Stopwatch,
        *,
        waits_s: Iterable[float],
    ) -> None:
        """Keep what may have cost something, though the database is locked or full for a while."""
        with stopwatch.time("store"):
            try:
                for wait_s in waits_s:
                    with suppress(StorageUnavailable):
                        return await write(result)
                    await self._sleep(wait_s)
                await write(result)
            except (StorageUnavailable, asyncio.CancelledError):
                kept = result.model_dump(mode="json", exclude={"metadata"})
                log.exception("an answer may be lost: it could not be stored", **kept)
                raise
            finally:
                self._metrics.result(domain=result.domain, status=result.status)

    async def _picture(
        self, question: Question, domain: Domain, stopwatch: Stopwatch
    ) -> PreparedImage:
        with stopwatch.time("fetch"):
            data = await self._reader.read(question.source)
        with stopwatch.time("prepare"):
            return await self._workers.run(prepare, data, longest=domain.image_size)

    async def _answer(
        self,
        result_id: str,
        question: Question,
        domain: Domain,
        image: PreparedImage,
        stopwatch: Stopwatch,
    ) -> tuple[Result, ClassifierError | None]:
        """The result, and the error when it is a failed one."""
        spent = Spent()
        outcome: ProviderAnswer | ClassifierError
        try:
            names = self._chain(question, domain)
            outcome = await self._dispatcher.ask(names, image, domain, spent)
        except ClassifierError as caught:
            if spent.calls == 0:
                raise
            outcome = caught
        except asyncio.CancelledError:
            # The service is going down. What a call may have cost must not be forgotten.
            outcome = _interrupted()
        except Exception:
            if spent.calls == 0:
                raise
            outcome = _mistake(result_id)
        stopwatch.note("wait", spent.wait_s)
        stopwatch.note("provider", spent.provider_s)
        facts = record.provenance(image, spent, stopwatch)
        result = record.completed(result_id, question, domain, facts, outcome)
        return result, outcome if isinstance(outcome, ClassifierError) else None

    def _chain(self, question: Question, domain: Domain) -> tuple[str, ...]:
        if question.provider:
            return (question.provider,)
        return domain.providers or (self._default_provider,)


def _mistake(result_id: str) -> InternalError:
    log.exception("unexpected error", result_id=result_id)
    return InternalError("The service made a mistake; its log says more.")


def _interrupted() -> Interrupted:
    return Interrupted("The service stopped before the answer came.")
