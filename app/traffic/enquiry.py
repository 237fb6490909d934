"""A question to one provider: what is asked, by when, and for whom; and what that has cost."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from app.budget import Payer
from app.domains import Domain
from app.images import PreparedImage
from app.ledger import LedgerEntry
from app.providers.base import Capabilities, Example
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
    """What asking has cost so far, even if it fails in the end.

    Attributes:
        wait_s: seconds spent waiting for quota, and between attempts; of calls at the same time,
            those of the one that took longest, here and below.
        provider_s: seconds spent in calls.
        call_s: seconds that the last answered call took.
        provider: the one asked last; None before the first call.
        over_budget: a provider was not asked because too little is left of the payer's budgets.
        degraded: a provider that is preferred to this one was down, or too expensive.
        contradicted: a provider asked before, which was not sure enough, gave another class.
        spared_usd: about what the next provider would have cost, which was not asked because this
            one was sure enough; None: there was none to spare.
        incomplete: the answer rests on fewer calls than the domain asks for: some failed.
        entries: of the ledger, one for each call that may be billed.
    """

    usage: TokenUsage = field(default_factory=TokenUsage)
    wait_s: float = 0.0
    provider_s: float = 0.0
    call_s: float = 0.0
    calls: int = 0
    provider: str | None = None
    capabilities: Capabilities | None = None
    over_budget: bool = False
    degraded: bool = False
    contradicted: bool = False
    spared_usd: Decimal | None = None
    incomplete: bool = False
    entries: list[LedgerEntry] = field(default_factory=list)

    def add(self, further: Sequence["Spent"]) -> None:
        """Add further calls, which were made at the same time."""
        for each in further:
            self.usage += each.usage
            self.calls += each.calls
            self.entries += each.entries
            self.capabilities = each.capabilities or self.capabilities
        longest = max(further, key=lambda each: each.wait_s + each.provider_s)
        self.wait_s += longest.wait_s
        self.provider_s += longest.provider_s


@dataclass(frozen=True, slots=True)
class Case:
    """A picture to ask about, whichever provider is asked; what that costs is added to `spent`."""

    image: PreparedImage
    domain: Domain
    payer: Payer
    lane: Lane = "interactive"
    spent: Spent = field(default_factory=Spent)


@dataclass(slots=True)
class Enquiry:
    """A question to one provider. Times are seconds of the event loop's clock.

    Attributes:
        code_order, examples: as in `Provider.classify`.
        model: only its deployments may be asked; None: all of the provider's.
        least_s: about how long a call takes: with less time left, none is made.
    """

    provider: str
    scheduler: Scheduler
    case: Case
    began: float
    policy: RetryPolicy
    code_order: Sequence[int] | None = None
    model: str | None = None
    least_s: float = 0.0
    examples: Sequence[Example] = ()
    _most: dict[Deployment, TokenUsage] = field(default_factory=dict)

    @property
    def deadline(self) -> float:
        return self.began + self.policy.total_s

    def is_too_late(self, now: float) -> bool:
        """Whether a call would not end in time, and still be billed."""
        return self.deadline - now < self.least_s

    @property
    def deployments(self) -> Sequence[Deployment]:
        """Those that may be asked."""
        every = self.scheduler.deployments
        if self.model is None:
            return every
        return [each for each in every if each.provider.capabilities().may_be(self.model)] or every

    def amounts(self, *, without: Collection[Deployment]) -> dict[Deployment, Amounts]:
        """What a call takes of the quota, by deployment."""
        return {
            each: each.amounts(self.case.image, self.case.domain)
            for each in self.deployments
            if each not in without
        }

    def most(self, deployment: Deployment) -> TokenUsage:
        """What a call to it costs at most."""
        known = self._most.get(deployment)
        if known is None:
            known = self._most[deployment] = deployment.most(self.case.image, self.case.domain)
        return known

    def waiter(self, *, without: Collection[Deployment], now: float) -> Waiter:
        """Admission is of use only while there is time left for the call. A call that moves away
        from where it failed waits a moment only; after that its failure is raised."""
        amounts = self.amounts(without=without)
        call_s = min(each.call_s for each in amounts)
        deadline = self.deadline - max(self.least_s, min(call_s, self.policy.total_s / 2))
        if without:
            deadline = min(deadline, now + MOVES_WITHIN_S)
        return Waiter(self.case.payer.caller, self.case.lane, amounts, deadline)
