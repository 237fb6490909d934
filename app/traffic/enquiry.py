"""What one provider is asked, by when, and for whom; and what that has cost."""

from collections.abc import Collection
from dataclasses import dataclass, field

from app.budget import Payer
from app.domains import Domain
from app.images import PreparedImage
from app.ledger import LedgerEntry
from app.providers.base import Capabilities
from app.traffic.deployment import Deployment
from app.traffic.queue import Lane, Waiter
from app.traffic.quota import Amounts
from app.traffic.retry import RetryPolicy
from app.traffic.scheduler import Scheduler
from app.usage import TokenUsage

MOVES_WITHIN_S = 1.0
"""A call that failed goes to another deployment that has room within so many seconds."""


@dataclass(slots=True)
class Spent:
    """What asking has cost so far, also when it fails in the end.

    Attributes:
        wait_s: seconds spent waiting for quota, and between attempts.
        provider_s: seconds spent in calls.
        provider: who was asked last; None before the first call.
        over_budget: somebody was not asked for what is left of the payer's budgets.
        degraded: a provider that is preferred to this one was down, or too dear.
        entries: of the ledger, one for each call that may be billed.
    """

    usage: TokenUsage = field(default_factory=TokenUsage)
    wait_s: float = 0.0
    provider_s: float = 0.0
    calls: int = 0
    provider: str | None = None
    capabilities: Capabilities | None = None
    over_budget: bool = False
    degraded: bool = False
    entries: list[LedgerEntry] = field(default_factory=list)


@dataclass(slots=True)
class Enquiry:
    """To one provider. Times are seconds of the event loop's clock."""

    provider: str
    scheduler: Scheduler
    image: PreparedImage
    domain: Domain
    payer: Payer
    lane: Lane
    began: float
    policy: RetryPolicy
    spent: Spent
    _most: dict[Deployment, TokenUsage] = field(default_factory=dict)

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

    def most(self, deployment: Deployment) -> TokenUsage:
        """What a call to it costs at most."""
        known = self._most.get(deployment)
        if known is None:
            known = self._most[deployment] = deployment.most(self.image, self.domain)
        return known

    def waiter(self, *, without: Collection[Deployment], now: float) -> Waiter:
        """Leave is of use while there is time left for the call. One that failed somewhere waits a
        moment only, or it would keep others from where it can't go itself."""
        amounts = self.amounts(without=without)
        call_s = min(each.call_s for each in amounts)
        deadline = self.deadline - min(call_s, self.policy.total_s / 2)
        if without:
            deadline = min(deadline, now + MOVES_WITHIN_S)
        return Waiter(self.payer.caller, self.lane, amounts, deadline)
