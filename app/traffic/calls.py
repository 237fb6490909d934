"""One call to a provider: admitted by the quota and the budgets, timed, and booked."""

import asyncio
from collections.abc import Collection, Sequence

from app.errors import (
    ProviderCannotServeDomain,
    ProviderError,
    ProviderPaused,
    ProviderRateLimited,
    ProviderTimeout,
)
from app.providers.base import Provider, ProviderAnswer
from app.settings import Settings
from app.telemetry.health import Health
from app.telemetry.metrics import Metrics
from app.telemetry.trace import current
from app.traffic import clock
from app.traffic.books import Books, OpenCall
from app.traffic.deployment import Deployment, Ticket
from app.traffic.enquiry import Enquiry
from app.traffic.wallet import FREE, Hold
from app.usage import TokenUsage


class Calls:
    """The only way in which a metered provider is called."""

    def __init__(self, settings: Settings, metrics: Metrics, health: Health, books: Books) -> None:
        self._settings = settings
        self._metrics = metrics
        self._health = health
        self._books = books

    async def leave(
        self,
        enquiry: Enquiry,
        *,
        without: Collection[Deployment],
        instead: ProviderError | None,
    ) -> tuple[Ticket, OpenCall | None]:
        """Wait until the quota and the budgets admit a call; no books are kept of calls that are
        not metered. Calls answered in between can leave too little of a budget again."""
        with current().span("wait"):
            return await self._leave(enquiry, without=without, instead=instead)

    async def _leave(
        self,
        enquiry: Enquiry,
        *,
        without: Collection[Deployment],
        instead: ProviderError | None,
    ) -> tuple[Ticket, OpenCall | None]:
        asked = enquiry.deployments[0]
        while True:
            if enquiry.scheduler.is_metered:
                await self._wait_for_room(enquiry, asked)
            ticket = await self._admit(enquiry, without=without, instead=instead)
            asked = ticket.deployment
            if enquiry.is_too_late(clock.now()):
                enquiry.scheduler.give_back(ticket)
                raise ProviderTimeout("No time is left for another call.")
            if asked.limits is None:
                return ticket, None
            try:
                call = await self._open(asked, enquiry)
            except BaseException:
                enquiry.scheduler.give_back(ticket)
                raise
            if call is not None:
                return ticket, call
            enquiry.scheduler.give_back(ticket)

    async def _wait_for_room(self, enquiry: Enquiry, asked: Deployment) -> None:
        """Wait until the budgets have room for what a call to this deployment costs at most."""
        budgets, payer, domain = self._books.budgets, enquiry.case.payer, enquiry.case.domain
        if budgets.covers(payer, domain.name):
            began, most = clock.now(), enquiry.most(asked)
            try:
                await budgets.wait_for_room(payer, domain.name, most, until=enquiry.deadline)
            finally:
                enquiry.case.spent.wait_s += clock.now() - began

    async def _open(self, deployment: Deployment, enquiry: Enquiry) -> OpenCall | None:
        """Reserve the cost, and note the call. None: other calls have reserved what was left of a
        budget meanwhile."""
        payer, domain = enquiry.case.payer, enquiry.case.domain.name
        most = enquiry.most(deployment)
        hold: Hold | None = FREE
        if self._books.budgets.covers(payer, domain):
            hold = await self._books.budgets.reserve(payer, domain, most)
        if hold is None:
            return None
        return self._books.begin(deployment.provider, payer, domain, most, hold)

    async def _admit(
        self,
        enquiry: Enquiry,
        *,
        without: Collection[Deployment],
        instead: ProviderError | None,
    ) -> Ticket:
        """Wait for admission. If a call that moves to another deployment is refused, the error that
        made it move is raised `instead` of the refusal."""
        began = clock.now()
        try:
            return await enquiry.scheduler.admit(enquiry.waiter(without=without, now=began))
        except (ProviderRateLimited, ProviderPaused):
            if without and instead is not None:
                raise instead from None
            raise
        finally:
            waited_s = clock.now() - began
            enquiry.case.spent.wait_s += waited_s
            if enquiry.scheduler.is_metered:
                self._metrics.admission(enquiry.case.lane, waited_s)

    async def make(
        self,
        ticket: Ticket,
        call: OpenCall | None,
        enquiry: Enquiry,
        failed: Collection[Deployment],
    ) -> ProviderAnswer:
        deployment = ticket.deployment
        began = clock.now()
        timeout = min(enquiry.deadline - began, self._settings.api.timeout)
        others = [
            each
            for each in enquiry.deployments
            if each is not deployment and each not in failed
            if each.breaker.state(began) == "closed"
        ]
        if others:
            timeout = min(_share(timeout, deployment, others), deployment.patience_s(ticket))
        outcome: ProviderAnswer | BaseException
        try:
            outcome = await self._timed(deployment.provider, enquiry, timeout)
        except BaseException as error:
            outcome = error
            raise
        finally:
            seconds = clock.now() - began
            deployment.ended(clock.now(), ticket, seconds, outcome)
            enquiry.scheduler.changed()
            self._book(deployment, call, enquiry, outcome, seconds)
        self._health.provider_answered()
        return outcome

    async def _timed(self, provider: Provider, enquiry: Enquiry, timeout: float) -> ProviderAnswer:
        takes_examples = provider.capabilities().takes_examples
        self._metrics.call_started(provider.name)
        try:
            with current().span("provider", {"classifier.provider": provider.name}):
                async with asyncio.timeout(timeout):
                    return await provider.classify(
                        enquiry.case.image,
                        enquiry.case.domain,
                        timeout=timeout,
                        code_order=enquiry.code_order,
                        examples=enquiry.examples if takes_examples else (),
                    )
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
        enquiry: Enquiry,
        outcome: ProviderAnswer | BaseException,
        seconds: float,
    ) -> None:
        provider, spent = deployment.provider, enquiry.case.spent
        entry = None
        if call is not None:
            picture = deployment.image_tokens(enquiry.case.image, enquiry.case.domain, outcome)
            entry = self._books.end(call, outcome, picture)
        if isinstance(outcome, ProviderCannotServeDomain):
            return  # nothing was asked: the row still names the provider asked before
        usage = TokenUsage()
        if entry is not None:
            spent.entries.append(entry)
            usage = entry.usage
        elif isinstance(outcome, ProviderAnswer | ProviderError):
            usage = outcome.usage
        if isinstance(outcome, ProviderAnswer):
            spent.call_s = seconds
        spent.calls += 1
        spent.provider_s += seconds
        spent.provider = provider.name
        spent.usage += usage
        spent.capabilities = capabilities = provider.capabilities()
        of = {
            "deployment": capabilities.deployment or provider.name,
            "domain": enquiry.case.domain.name,
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


def _share(timeout: float, deployment: Deployment, others: Sequence[Deployment]) -> float:
    """Seconds for this call: one that hangs leaves time for another. If too little is left for both
    it gets all, because an answer that is cut off is paid for and lost."""
    spare = timeout - min(each.call_s for each in others)
    if spare < deployment.latency_s:
        return timeout
    return max(timeout / 2, min(spare, deployment.call_s))
