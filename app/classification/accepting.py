"""Pictures that are accepted now and answered later, even if a process dies in between."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import structlog

from app.classification import record
from app.classification.intake import Intake, Picture
from app.classification.item_line import log_item
from app.classification.keeper import Keeper
from app.classification.question import Question
from app.classification.running import Running
from app.classification.service import ClassificationService
from app.classification.stopwatch import Stopwatch
from app.classification.storing import FEW_WAITS_S, Answered, Storing
from app.domains import Domain, DomainRegistry
from app.errors import DomainNotFound, Interrupted, Overloaded, StorageUnavailable
from app.identifiers import RESULT, new_id
from app.images import Upload, Url
from app.result import Result
from app.storage import ResultRepository, both
from app.telemetry.metrics import Metrics
from app.telemetry.trace import Tracing, current
from app.work import STOPPING_S, Work

log = structlog.stdlib.get_logger(__name__)

MAX_PENDING = 1_000
"""Accepted pictures that may wait in this process's memory at once."""

MAX_SHARED = 10_000
"""The same for a database from which several processes take them."""

ACCEPTED = "accepted-picture"

REDISCOVERED_AFTER_S = 60.0
"""Seconds of waiting: by then the task of a picture is lost, or the queue is just long."""

TWIN_S = 10.0
"""Seconds until a task checks again on a picture that this process works on already."""


class Accepting:
    """A single process works on the answer at once, and after a crash its successor does. Where
    several processes share the work, any of them takes it."""

    def __init__(
        self,
        service: ClassificationService,
        running: Running,
        storing: Storing,
        domains: DomainRegistry,
        intake: Intake,
        results: ResultRepository,
        keeper: Keeper | None,
        metrics: Metrics,
        tracing: Tracing,
        work: Work | None = None,
    ) -> None:
        """Without a `keeper`, nothing outlives this process. `work` is the queue through which
        other processes take what was accepted here."""
        self._service = service
        self._running = running
        self._storing = storing
        self._domains = domains
        self._intake = intake
        self._results = results
        self._keeper = keeper
        self._metrics = metrics
        self._tracing = tracing
        self._work = work
        self._accepting = 0
        if work is not None:
            work.register(ACCEPTED, self.picture)

    async def accept(self, question: Question, *, result_id: str | None = None) -> Result:
        """Store and return a pending result, which is answered in the background. What is wrong
        with a picture that need not be downloaded is raised here."""
        result_id = result_id or new_id(RESULT, question.asked_at)
        domain = await self._service.checked_domain(question)
        await self._check_room()
        self._accepting += 1
        try:
            stopwatch = Stopwatch(self._metrics)
            picture = data = None
            if not isinstance(question.source, Url):
                data = await self._intake.read(question.source)
                question = replace(question, source=Upload(data))
                picture = await self._service.take_small(question, domain, stopwatch)
            pending = record.pending(result_id, question, domain)
            beside = await self._keeper.keep(result_id, question, data) if self._keeper else None
            await self._results.insert(pending, beside)
            if self._work is not None:
                await self._work.kick(ACCEPTED, result_id)
            else:
                self._running.start(
                    result_id, self._finish(pending, question, domain, picture, stopwatch)
                )
        finally:
            self._accepting -= 1
        return pending

    async def resume(self) -> int:
        """Resume what an earlier process accepted; returns how many pictures that are."""
        kept = await self._keeper.all() if self._keeper else []
        for result_id in kept:
            await self.picture(result_id, wait=False)
        return len(kept)

    async def look(self) -> None:
        """Resume pictures that lost their task, or were never begun because the database did not
        confirm that they were stored."""
        if self._keeper is None:
            return
        for result_id in await self._keeper.waiting(seconds=REDISCOVERED_AFTER_S):
            if self._work is not None:
                await self._work.kick_again(ACCEPTED, result_id)
            else:
                await self.picture(result_id, wait=False)

    async def picture(self, result_id: str, *, wait: bool = True) -> float | None:
        """Answer one accepted picture. Returns the seconds until the next try; None: no more."""
        if self._running.draining:
            return STOPPING_S
        if result_id in self._running:
            return TWIN_S  # its task was redelivered because Redis was gone: one is enough
        question = await self._keeper.kept(result_id) if self._keeper else None
        if question is None:
            return None
        stopwatch = Stopwatch(self._metrics)
        try:
            domain = await self._domains.find(question.domain)
        except DomainNotFound as error:
            await self._end(result_id, question, error, stopwatch)
            return None
        pending = record.pending(result_id, question, domain)
        task = self._running.start(
            result_id, self._finish(pending, question, domain, None, stopwatch)
        )
        if wait and (await asyncio.shield(task)).is_pending:
            return STOPPING_S
        return None

    async def _check_room(self) -> None:
        """Raises Overloaded."""
        if self._work is not None and self._keeper is not None:
            waiting, most = await self._keeper.count() + self._accepting, MAX_SHARED
        else:
            waiting, most = len(self._running) + self._accepting, MAX_PENDING
        if waiting >= most:
            raise Overloaded("Too many accepted pictures wait for their answer.")

    async def _finish(
        self,
        pending: Result,
        question: Question,
        domain: Domain,
        picture: Picture | None,
        stopwatch: Stopwatch,
    ) -> Result:
        # This work outlives the request whose trace it continues.
        with self._tracing.work("accepted", of=current()) as trace:
            result, is_stored = await self._answer(pending, question, domain, picture, stopwatch)
            if is_stored:
                log_item(trace, result)
        return result

    async def _answer(
        self,
        pending: Result,
        question: Question,
        domain: Domain,
        picture: Picture | None,
        stopwatch: Stopwatch,
    ) -> tuple[Result, bool]:
        """The result, and whether it is what is stored now."""
        answered = await self._service.outcome(pending.id, question, domain, picture, stopwatch)
        if self._keeper is not None and isinstance(answered.error, Interrupted):
            return pending, False  # whoever resumes it asks again
        stored = await self._complete(answered, question, stopwatch)
        return (answered.result, False) if stored is None else (stored, True)

    async def _end(
        self, result_id: str, question: Question, error: DomainNotFound, stopwatch: Stopwatch
    ) -> None:
        """Fail a picture whose domain was deleted meanwhile: no provider can be asked, and whoever
        waits is told."""
        pending = await self._results.get(result_id, caller=None)
        result = record.ended(pending, error)
        await self._complete(Answered(result, error, None), question, stopwatch)

    async def _complete(
        self, answered: Answered, question: Question, stopwatch: Stopwatch
    ) -> Result | None:
        """Store the outcome. An answer that can never be stored becomes a failure; otherwise it
        would be asked for, and paid for, again and again."""
        try:
            return await self._store(answered, question, stopwatch)
        except StorageUnavailable:
            raise
        except Exception:
            log.exception("an answer can't be stored", result=answered.result.id)
        return await self._store(answered.unstorable(), question, stopwatch)

    async def _store(
        self, answered: Answered, question: Question, stopwatch: Stopwatch
    ) -> Result | None:
        result_id, beside = answered.result.id, self._storing.beside([answered])
        if self._keeper is not None:
            beside = both(beside, self._keeper.forgetting(result_id))
        stored = await self._storing.store(
            partial(self._results.complete, callback_url=question.callback_url),
            answered,
            stopwatch,
            beside=beside,
            waits_s=self._patient_waits_s(),
        )
        if self._keeper is not None:
            await self._keeper.let_go(result_id)
        return stored

    def _patient_waits_s(self) -> Iterator[float]:
        """An accepted picture must not get lost: storing its answer is retried a few times, and
        then until the service stops."""
        yield from FEW_WAITS_S
        while not self._running.stopping:
            yield FEW_WAITS_S[-1]
