"""The way to a provider: calls are admitted, timed, retried, and moved on when one is down."""

import asyncio
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import structlog

from app.domains import Domain
from app.errors import (
    BudgetSpent,
    ClassifierError,
    Overloaded,
    ProviderAdjusting,
    ProviderCannotServeDomain,
    ProviderError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    ProviderUnknown,
)
from app.providers.base import Example, ProviderAnswer
from app.providers.registry import LOCAL, ProviderRegistry
from app.settings import Settings
from app.telemetry.health import Health
from app.telemetry.metrics import Metrics
from app.traffic import clock
from app.traffic.books import Books
from app.traffic.calls import Calls
from app.traffic.deployment import Deployment
from app.traffic.enquiry import Case, Enquiry
from app.traffic.link import RedisLink
from app.traffic.queue import Lane
from app.traffic.quota import LONGEST_PAUSE_S
from app.traffic.retry import (
    GiveUp,
    RetryBudget,
    RetryPolicy,
    Wait,
    decide_retry,
    helps_elsewhere,
)
from app.traffic.scheduler import Scheduler
from app.traffic.state import ProviderState, states

log = structlog.stdlib.get_logger(__name__)
BATCH_PATIENCE_S = 600.0
"""Seconds that a call of a batch waits for quota, as no client waits for it."""

DOWN = (ProviderUnavailable, ProviderRateLimited, ProviderRejected, Overloaded)
WORTH_ANOTHER_PROVIDER = (*DOWN, ProviderCannotServeDomain, ProviderUnknown)


@dataclass(frozen=True, slots=True)
class Turn:
    """The turn of one of several providers that are asked about the same picture in sequence.

    Attributes:
        since: when (the event loop's clock) the time that they all share began.
        later: how many come after it: each must have time left to answer in.
        alone: the local model does not answer in its place, whatever a budget says.
    """

    since: float
    later: int = 0
    alone: bool = False


class Dispatcher:
    """Asks providers. Times are of the event loop's clock, and the policy's total covers it all:
    waits, retries, other deployments, other providers."""

    def __init__(
        self,
        registry: ProviderRegistry,
        settings: Settings,
        metrics: Metrics,
        health: Health,
        books: Books,
        *,
        link: RedisLink | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`link`: the connection through which the quota is shared with other processes."""
        self._registry = registry
        self._settings = settings
        self._metrics = metrics
        self._calls = Calls(settings, metrics, health, books)
        self._retries: dict[str, RetryBudget] = {}
        self._schedulers: dict[str, Scheduler] = {}
        metrics.watch_traffic(self.states)
        self._link = link
        self._jitter = jitter

    async def ask(
        self,
        names: Sequence[str],
        case: Case,
        *,
        code_order: Sequence[int] | None = None,
        examples: Sequence[Example] = (),
        turn: Turn | None = None,
    ) -> ProviderAnswer:
        """Ask the providers in order until one answers. `code_order` and `examples` are as in
        `Provider.classify`; without a `turn`, none was asked before, and none will be later.

        Raises the ProviderError of the last provider that was down, else why none could be asked;
        and BudgetSpent, where the local model may not answer instead, or can't.
        """
        turn, spent = turn or Turn(clock.now()), case.spent
        deadline = turn.since + self._patience_s(case.lane)
        failure: ClassifierError | None = None
        names = list(names)
        for position, name in enumerate(names):
            now = clock.now()
            # Later providers must have time left to answer in.
            total_s = max(0.0, deadline - now) / (len(names) - position + turn.later)
            policy = RetryPolicy(retries=self._retries_of(case.domain), total_s=total_s)
            try:
                scheduler = await self._scheduler(name)
                enquiry = Enquiry(
                    name, scheduler, case, now, policy, code_order=code_order, examples=examples
                )
                return await self._ask(enquiry)
            except BudgetSpent as error:
                spent.over_budget = True
                if turn.alone or not error.degrades:
                    raise
                log.warning("a budget is spent", budget=error.budget, provider=name)
                failure = error
                spent.degraded = True
                if LOCAL not in names:
                    names.append(LOCAL)
            except WORTH_ANOTHER_PROVIDER as error:
                log.warning("a provider does not answer", provider=name, reason=error.slug())
                # A provider that was down matters more than one that could not have helped.
                if not isinstance(failure, BudgetSpent):
                    failure = error if isinstance(error, DOWN) else failure or error
                    spent.degraded = isinstance(failure, DOWN)
        if failure is None:
            raise ProviderUnavailable("No provider is named for this domain.")
        if isinstance(failure, ProviderRateLimited) and failure.retry_after_s is not None:
            # A day, as some deployments say, is no useful advice.
            failure.retry_after_s = min(failure.retry_after_s, LONGEST_PAUSE_S)
        raise failure

    async def ask_again(
        self,
        name: str,
        first: ProviderAnswer,
        case: Case,
        *,
        code_order: Sequence[int],
        examples: Sequence[Example] = (),
        since: float,
        call_s: float,
    ) -> ProviderAnswer:
        """Ask the provider `name`, with the model of the `first` answer, again about the same
        picture; no other provider answers instead. All calls together have the time of one, which
        began at `since`: no call is made that would not end in time if it took `call_s`.

        Raises a ProviderError, or BudgetSpent.
        """
        now = clock.now()
        total_s = since + self._patience_s(case.lane) - now
        if total_s <= call_s:
            raise ProviderTimeout("No time is left for another call.")
        policy = RetryPolicy(retries=self._retries_of(case.domain), total_s=total_s)
        return await self._ask(
            Enquiry(
                name,
                await self._scheduler(name),
                case,
                now,
                policy,
                code_order=code_order,
                examples=examples,
                model=first.model,
                least_s=call_s,
            )
        )

    async def open(self, name: str) -> None:
        """Make a provider ready before it is asked. Raises ProviderUnknown."""
        await self._scheduler(name)

    async def deployments(self, name: str) -> Sequence[Deployment]:
        """The deployments of one provider. Raises ProviderUnknown."""
        return (await self._scheduler(name)).deployments

    def states(self) -> list[ProviderState]:
        """The states of all providers that were asked or opened."""
        return list(states(self._schedulers.items(), clock.now()))

    async def aclose(self) -> None:
        for scheduler in self._schedulers.values():
            await scheduler.aclose()

    async def _ask(self, enquiry: Enquiry) -> ProviderAnswer:
        """Ask one provider until it answers, or trying again is of no use any more."""
        retries = self._retries[enquiry.provider]
        attempt, adjustments = 1, 0
        failed: frozenset[Deployment] = frozenset()
        failure: ProviderError | None = None
        while True:
            ticket, call = await self._calls.leave(enquiry, without=failed, instead=failure)
            if failure is None:
                retries.called()
            try:
                return await self._calls.make(ticket, call, enquiry, failed)
            except ProviderError as error:
                failure = error
            adjusting = isinstance(failure, ProviderAdjusting)
            adjustments += adjusting
            decision = decide_retry(
                failure,
                attempt=attempt,
                adjustments=adjustments,
                elapsed_s=clock.now() - enquiry.began,
                policy=enquiry.policy,
                jitter=self._jitter(),
            )
            failed |= {ticket.deployment}
            pause_s = 0.0
            if not self._moves(failure, decision, enquiry, failed):
                # Moves need no retry budget, because the breaker ends them; retries do.
                if isinstance(decision, GiveUp) or not (adjusting or retries.spend()):
                    raise failure
                failed, pause_s = frozenset(), decision.seconds
                attempt += not adjusting
            self._metrics.retry(enquiry.provider, failure.kind)
            await self._pause(pause_s, failure, enquiry)

    def _moves(
        self,
        error: ProviderError,
        decision: Wait | GiveUp,
        enquiry: Enquiry,
        failed: Collection[Deployment],
    ) -> bool:
        """Whether the call moves, without a pause, to a deployment on which it has not failed yet:
        one that has room now, or soon, if this one is not to be asked again."""
        if not helps_elsewhere(error) or len(failed) == len(enquiry.deployments):
            return False
        if isinstance(decision, GiveUp):
            return clock.now() < enquiry.deadline
        return enquiry.scheduler.has_room(enquiry.amounts(without=failed), enquiry.case.lane)

    def _patience_s(self, lane: Lane) -> float:
        timeout = self._settings.api.timeout
        return max(timeout, BATCH_PATIENCE_S) if lane == "batch" else timeout

    def _retries_of(self, domain: Domain) -> int:
        given = domain.max_retries
        return self._settings.api.max_retries if given is None else given

    async def _scheduler(self, name: str) -> Scheduler:
        if name not in self._schedulers:
            traffic = self._settings.traffic
            providers = await self._registry.get(name)
            if name in self._schedulers:
                return self._schedulers[name]  # another task made it meanwhile
            self._retries[name] = RetryBudget(traffic.retry_share)
            self._schedulers[name] = Scheduler(
                [Deployment.of(each, self._settings, self._link) for each in providers],
                batch_share=traffic.batch_share,
                most_waiting=traffic.max_waiting,
            )
        return self._schedulers[name]

    async def _pause(self, seconds: float, error: ProviderError, enquiry: Enquiry) -> None:
        log.info("retry", provider=enquiry.case.spent.provider, reason=error.kind, wait_s=seconds)
        if seconds:
            await asyncio.sleep(seconds)
            enquiry.case.spent.wait_s += seconds
