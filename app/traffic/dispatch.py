"""The one way to a provider: admitted, retried, timed, and on to the next one when one is down."""

import asyncio
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import structlog

from app.budget import Payer
from app.domains import Domain
from app.errors import (
    BudgetSpent,
    ClassifierError,
    Overloaded,
    ProviderAdjusting,
    ProviderCannotServeDomain,
    ProviderError,
    ProviderPaused,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    ProviderUnknown,
)
from app.images import PreparedImage
from app.ledger import LedgerEntry
from app.providers.base import Capabilities, Provider, ProviderAnswer
from app.providers.registry import ProviderRegistry
from app.settings import Settings
from app.telemetry.health import Health
from app.telemetry.metrics import Metrics
from app.traffic.books import Books, OpenCall
from app.traffic.budgets import FREE, Hold
from app.traffic.deployment import Deployment, Ticket
from app.traffic.link import RedisLink
from app.traffic.queue import Lane, Waiter
from app.traffic.quota import LONGEST_PAUSE_S, Amounts
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
from app.usage import TokenUsage

log = structlog.stdlib.get_logger(__name__)

LOCAL = "local"
"""Who answers where a budget is spent that says so."""

BATCH_PATIENCE_S = 600.0
"""How long a call of a batch waits for quota: nobody waits for it."""

MOVES_WITHIN_S = 1.0
"""A call that failed goes to another deployment that has room within so many seconds."""

DOWN = (ProviderUnavailable, ProviderRateLimited, ProviderRejected, Overloaded)
WORTH_ANOTHER_PROVIDER = (*DOWN, ProviderCannotServeDomain, ProviderUnknown)


@dataclass(slots=True)
class Spent:
    """What asking has cost so far, also when it fails in the end.

    Attributes:
        wait_s: seconds spent waiting for quota, and between attempts.
        provider_s: seconds spent in calls.
        provider: who was asked last; None before the first call.
        degraded: a provider that is preferred to this one was down, or too dear.
        entries: of the ledger, one for each call that may be billed.
    """

    usage: TokenUsage = field(default_factory=TokenUsage)
    wait_s: float = 0.0
    provider_s: float = 0.0
    calls: int = 0
    provider: str | None = None
    capabilities: Capabilities | None = None
    degraded: bool = False
    entries: list[LedgerEntry] = field(default_factory=list)


@dataclass(slots=True)
class _Question:
    """What one provider is asked, by when, and for whom."""

    provider: str
    scheduler: Scheduler
    image: PreparedImage
    domain: Domain
    payer: Payer
    lane: Lane
    began: float
    policy: RetryPolicy
    spent: Spent

    @property
    def deadline(self) -> float:
        return self.began + self.policy.total_s

    def amounts(self, *, without: Collection[Deployment]) -> dict[Deployment, Amounts]:
        """What a call takes, by deployment."""
        return {
            each: each.amounts(self.image, self.domain)
            for each in self.scheduler.deployments
            if each not in without
        }

    def waiter(self, *, without: Collection[Deployment], now: float) -> Waiter:
        """Leave is of use while there is time left for the call. One that failed somewhere waits a
        moment only, or it would keep others from where it can't go itself."""
        amounts = self.amounts(without=without)
        call_s = min(each.call_s for each in amounts)
        deadline = self.deadline - min(call_s, self.policy.total_s / 2)
        if without:
            deadline = min(deadline, now + MOVES_WITHIN_S)
        return Waiter(self.payer.caller, self.lane, amounts, deadline)


class Dispatcher:
    """Asks providers. The time is the event loop's, and the policy's total is for all of it: waits,
    retries, other deployments, other providers."""

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
        """`link`: through it the quota is one with that of other processes."""
        self._registry = registry
        self._settings = settings
        self._metrics = metrics
        self._health = health
        self._books = books
        self._retries: dict[str, RetryBudget] = {}
        self._schedulers: dict[str, Scheduler] = {}
        metrics.watch_traffic(self.states)
        self._link = link
        self._jitter = jitter

    async def ask(
        self,
        names: Sequence[str],
        image: PreparedImage,
        domain: Domain,
        spent: Spent,
        *,
        payer: Payer,
        lane: Lane = "interactive",
    ) -> ProviderAnswer:
        """Ask the providers in order until one answers; what it costs is added to `spent`.

        Raises the ProviderError of the last one that was down, else why none could be asked; and
        BudgetSpent, where the local model may not answer instead or can't.
        """
        retries = domain.max_retries
        if retries is None:
            retries = self._settings.api.max_retries
        patience_s = self._settings.api.timeout
        if lane == "batch":
            patience_s = max(patience_s, BATCH_PATIENCE_S)
        deadline = self._now() + patience_s
        failure: ClassifierError | None = None
        names = list(names)
        for position, name in enumerate(names):
            now = self._now()
            # Whoever comes later must have time left to answer in.
            total_s = max(0.0, deadline - now) / (len(names) - position)
            policy = RetryPolicy(retries=retries, total_s=total_s)
            try:
                scheduler = await self._scheduler(name)
                return await self._ask(
                    _Question(name, scheduler, image, domain, payer, lane, now, policy, spent)
                )
            except BudgetSpent as error:
                if not error.degrades:
                    raise
                log.warning("a budget is spent", budget=error.budget, provider=name)
                failure = error
                spent.degraded = True
                if LOCAL not in names:
                    names.append(LOCAL)
            except WORTH_ANOTHER_PROVIDER as error:
                log.warning("a provider does not answer", provider=name, reason=error.slug())
                # Who was down matters more than who could not have helped.
                if not isinstance(failure, BudgetSpent):
                    failure = error if isinstance(error, DOWN) else failure or error
                    spent.degraded = isinstance(failure, DOWN)
        if failure is None:
            raise ProviderUnavailable("No provider is named for this domain.")
        if isinstance(failure, ProviderRateLimited) and failure.retry_after_s is not None:
            # A day, as some deployments say, is no advice.
            failure.retry_after_s = min(failure.retry_after_s, LONGEST_PAUSE_S)
        raise failure

    async def open(self, name: str) -> None:
        """Make a provider ready before it is asked. Raises ProviderUnknown."""
        await self._scheduler(name)

    async def deployments(self, name: str) -> Sequence[Deployment]:
        """Of one provider. Raises ProviderUnknown."""
        return (await self._scheduler(name)).deployments

    def states(self) -> list[ProviderState]:
        """Of every provider that was asked or opened."""
        return list(states(self._schedulers.items(), self._now()))

    async def aclose(self) -> None:
        for scheduler in self._schedulers.values():
            await scheduler.aclose()

    async def _ask(self, question: _Question) -> ProviderAnswer:
        """Ask one provider until it answers, or insisting is of no use any more."""
        retries = self._retries[question.provider]
        attempt, adjustments = 1, 0
        failed: frozenset[Deployment] = frozenset()
        failure: ProviderError | None = None
        while True:
            ticket, call = await self._leave(question, without=failed, instead=failure)
            if failure is None:
                retries.called()
            try:
                return await self._call(ticket, call, question, failed)
            except ProviderError as error:
                failure = error
            adjusting = isinstance(failure, ProviderAdjusting)
            adjustments += adjusting
            decision = decide_retry(
                failure,
                attempt=attempt,
                adjustments=adjustments,
                elapsed_s=self._now() - question.began,
                policy=question.policy,
                jitter=self._jitter(),
            )
            failed |= {ticket.deployment}
            pause_s = 0.0
            if not self._moves(failure, decision, question, failed):
                # Moves need no budget: the breaker ends them. What is asked again does.
                if isinstance(decision, GiveUp) or not (adjusting or retries.spend()):
                    raise failure
                failed, pause_s = frozenset(), decision.seconds
                attempt += not adjusting
            self._metrics.retry(question.provider, failure.kind)
            await self._pause(pause_s, failure, question)

    def _moves(
        self,
        error: ProviderError,
        decision: Wait | GiveUp,
        question: _Question,
        failed: Collection[Deployment],
    ) -> bool:
        """Whether the call goes, without a pause, to a deployment that did not fail it yet: one
        that has room now, or soon, when this one is not to be asked again."""
        if not helps_elsewhere(error) or len(failed) == len(question.scheduler.deployments):
            return False
        if isinstance(decision, GiveUp):
            return self._now() < question.deadline
        return question.scheduler.has_room(question.amounts(without=failed), question.lane)

    async def _scheduler(self, name: str) -> Scheduler:
        if name not in self._schedulers:
            traffic = self._settings.traffic
            providers = await self._registry.get(name)
            if name in self._schedulers:
                return self._schedulers[name]  # somebody else was as quick
            self._retries[name] = RetryBudget(traffic.retry_share)
            self._schedulers[name] = Scheduler(
                [Deployment.of(each, self._settings, self._link) for each in providers],
                batch_share=traffic.batch_share,
                most_waiting=traffic.max_waiting,
            )
        return self._schedulers[name]

    async def _leave(
        self,
        question: _Question,
        *,
        without: Collection[Deployment],
        instead: ProviderError | None,
    ) -> tuple[Ticket, OpenCall | None]:
        """Leave for a call by the quota and by the budgets; no books are kept of what is not
        metered. What is answered in between can leave too little of a budget again."""
        asked = question.scheduler.deployments[0]
        while True:
            if question.scheduler.is_metered:
                await self._wait_for_room(question, asked)
            ticket = await self._admit(question, without=without, instead=instead)
            asked = ticket.deployment
            if asked.limits is None:
                return ticket, None
            try:
                call = await self._open(asked, question)
            except BaseException:
                question.scheduler.give_back(ticket)
                raise
            if call is not None:
                return ticket, call
            question.scheduler.give_back(ticket)

    async def _wait_for_room(self, question: _Question, asked: Deployment) -> None:
        """In the budgets, for what a call to this deployment costs at most."""
        budgets, payer, domain = self._books.budgets, question.payer, question.domain
        if budgets.covers(payer, domain.name):
            most = asked.most(question.image, domain)
            await budgets.wait_for_room(payer, domain.name, most, until=question.deadline)

    async def _open(self, deployment: Deployment, question: _Question) -> OpenCall | None:
        """None: what is left of a budget was reserved by others meanwhile."""
        payer, domain = question.payer, question.domain.name
        most = deployment.most(question.image, question.domain)
        hold: Hold | None = FREE
        if self._books.budgets.covers(payer, domain):
            hold = await self._books.budgets.reserve(payer, domain, most)
        if hold is None:
            return None
        return self._books.begin(deployment.provider, payer, domain, most, hold)

    async def _admit(
        self,
        question: _Question,
        *,
        without: Collection[Deployment],
        instead: ProviderError | None,
    ) -> Ticket:
        """Leave for a call. Where one that moves finds none, what made it move is raised `instead`
        of the refusal."""
        began = self._now()
        try:
            return await question.scheduler.admit(question.waiter(without=without, now=began))
        except (ProviderRateLimited, ProviderPaused):
            if without and instead is not None:
                raise instead from None
            raise
        finally:
            waited_s = self._now() - began
            question.spent.wait_s += waited_s
            if question.scheduler.is_metered:
                self._metrics.admission(question.lane, waited_s)

    async def _pause(self, seconds: float, error: ProviderError, question: _Question) -> None:
        log.info("retry", provider=question.spent.provider, reason=error.kind, wait_s=seconds)
        if seconds:
            await asyncio.sleep(seconds)
            question.spent.wait_s += seconds

    async def _call(
        self,
        ticket: Ticket,
        call: OpenCall | None,
        question: _Question,
        failed: Collection[Deployment],
    ) -> ProviderAnswer:
        deployment = ticket.deployment
        began = self._now()
        timeout = min(question.deadline - began, self._settings.api.timeout)
        if any(
            each.breaker.state(began) == "closed"
            for each in question.scheduler.deployments
            if each is not deployment and each not in failed
        ):
            # One that hangs must leave time for another.
            timeout = min(timeout / 2, deployment.patience_s(ticket))
        outcome: ProviderAnswer | BaseException
        try:
            outcome = await self._timed(deployment.provider, question, timeout)
        except BaseException as error:
            outcome = error
            raise
        finally:
            seconds = self._now() - began
            deployment.ended(self._now(), ticket, seconds, outcome)
            question.scheduler.changed()
            self._book(deployment, call, question, outcome, seconds)
        self._health.provider_answered()
        return outcome

    async def _timed(
        self, provider: Provider, question: _Question, timeout: float
    ) -> ProviderAnswer:
        self._metrics.call_started(provider.name)
        try:
            async with asyncio.timeout(timeout):
                return await provider.classify(question.image, question.domain, timeout=timeout)
        except TimeoutError:
            self._metrics.provider_error(provider=provider.name, kind=ProviderTimeout.kind)
            late = ProviderTimeout(f"No answer within {timeout:.1f} s.")
            late.may_be_billed = True
            raise late from None
        except ProviderError as error:
            self._metrics.provider_error(provider=provider.name, kind=error.kind)
            raise
        finally:
            self._metrics.call_finished(provider.name)

    def _book(
        self,
        deployment: Deployment,
        call: OpenCall | None,
        question: _Question,
        outcome: ProviderAnswer | BaseException,
        seconds: float,
    ) -> None:
        provider, spent = deployment.provider, question.spent
        entry = None
        if call is not None:
            picture = deployment.image_tokens(question.image, question.domain, outcome)
            entry = self._books.end(call, outcome, picture)
        if isinstance(outcome, ProviderCannotServeDomain):
            return  # nobody was asked: the row goes on telling of whoever was before
        usage = TokenUsage()
        if entry is not None:
            spent.entries.append(entry)
            usage = entry.usage
        elif isinstance(outcome, ProviderAnswer | ProviderError):
            usage = outcome.usage
        spent.calls += 1
        spent.provider_s += seconds
        spent.provider = provider.name
        spent.usage += usage
        spent.capabilities = capabilities = provider.capabilities()
        of = {
            "deployment": capabilities.deployment or provider.name,
            "domain": question.domain.name,
        }
        if usage.cost_usd:
            self._metrics.cost(**of, usd=usage.cost_usd)
        if usage.prompt or usage.completion:
            self._metrics.tokens(
                **of,
                prompt=usage.prompt,
                completion=usage.completion,
                parts=dict(usage.parts),
            )

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
