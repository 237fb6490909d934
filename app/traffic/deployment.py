"""One deployment as traffic sees it: its quota, its breaker, its calls in progress."""

from dataclasses import dataclass
from datetime import UTC, datetime

from app.domains import Domain
from app.errors import ProviderError, ProviderRateLimited, ProviderTimeout
from app.images import PreparedImage
from app.providers.base import Provider, ProviderAnswer, Quoting
from app.settings import Settings
from app.settings_groups import DeploymentLimits
from app.traffic import clock
from app.traffic.belief import MINUTE_S
from app.traffic.breaker import Breaker
from app.traffic.link import RedisLink
from app.traffic.quota import Amounts, Quota, Reservation
from app.traffic.retry import speaks_against
from app.traffic.shared import SharedQuota
from app.traffic.window import Window
from app.usage import TokenUsage

SHORTEST_WINDOW_S = 1.0
"""Seconds over which Azure enforces calls per minute where it does not use ten seconds."""

SHORTEST_LATENCY_S = 0.05
"""Seconds; below it, deployments count as equally fast. One that was not called yet is taken to be
as fast."""
LATENCIES = 2
"""Nearly always, a call takes at most so many times the usual latency: one that is given less time
and times out says nothing about the deployment."""

UNKNOWN_CALL_S = 1.0
"""Seconds that a call is given at least, until the first one was answered."""

SLOW_FIRST_S = 5.0
"""A first answer counts as no slower: it may have waited for a connection, or a model to load."""

NEWEST_SHARE = 0.2
"""Weight of the newest call in the running mean of latencies."""


@dataclass(slots=True)
class Ticket:
    """Permission to make one call. Returned by `Deployment.ended` or, unused, `give_back`."""

    deployment: "Deployment"
    reservation: Reservation
    probe: bool


class Deployment:
    """`provider` with the limits it is granted. Times are seconds of the event loop's clock."""

    def __init__(
        self,
        provider: Provider,
        limits: DeploymentLimits | None,
        *,
        now: float,
        link: RedisLink | None = None,
    ) -> None:
        """`limits` None: calls to it are not metered. `link`: through it, calls are counted
        together with those of other processes."""
        self.provider = provider
        self._quoting = provider if isinstance(provider, Quoting) else None
        self.name = provider.capabilities().deployment or provider.name
        self.limits = limits
        self.breaker = Breaker()
        self.in_flight = 0
        self.latency_s = SHORTEST_LATENCY_S
        self._has_answered = False
        self.last_error: tuple[datetime, ProviderError] | None = None
        windows = {}
        if limits is not None:
            windows["requests"] = Window(
                limits.rpm, span_s=limits.window, shortest_s=SHORTEST_WINDOW_S, now=now
            )
            if limits.tpm is not None:
                windows["tokens"] = Window(limits.tpm, span_s=MINUTE_S, estimated=True, now=now)
        self.quota = Quota(windows)
        if link and windows:
            self.quota = SharedQuota(windows, link, f"{provider.name}:{self.name}")

    @classmethod
    def of(
        cls, provider: Provider, settings: Settings, link: RedisLink | None = None
    ) -> "Deployment":
        """The deployment with the limits that the settings have for it."""
        capabilities = provider.capabilities()
        limits = settings.limits(capabilities.deployment) if capabilities.metered else None
        return cls(provider, limits, now=clock.now(), link=link)

    @property
    def priority(self) -> int:
        return self.limits.priority if self.limits else 0

    def amounts(self, image: PreparedImage, domain: Domain) -> Amounts:
        """What a call about this picture takes of its quota."""
        if self.limits is None:
            return {"requests": 1.0}
        return {"requests": 1.0, "tokens": float(self.provider.estimate_tokens(image, domain))}

    def most(self, image: PreparedImage, domain: Domain) -> TokenUsage:
        """What a call about this picture is billed at most. If the provider can't tell, the price
        is not known."""
        if self._quoting is not None:
            return self._quoting.most(image, domain)
        return TokenUsage(self.provider.estimate_tokens(image, domain), cost_usd=None)

    def image_tokens(
        self, image: PreparedImage, domain: Domain, outcome: ProviderAnswer | BaseException
    ) -> int:
        """What the picture took of the prompt."""
        if isinstance(outcome, ProviderAnswer):
            return outcome.image_tokens or 0
        return self._quoting.image_tokens(image, domain).count if self._quoting else 0

    def free_at(self, now: float, amounts: Amounts, *, burst_s: float) -> float:
        """When a call may begin; infinite: not before a call in progress ends."""
        return max(self._callable_at(now), self.quota.free_at(now, amounts, burst_s=burst_s))

    def per_second(self, now: float) -> Amounts:
        """What it lets through per second in the long run, by dimension; infinite where nothing
        limits it."""
        rates = dict.fromkeys(("requests", "tokens"), float("inf"))
        for name in self.quota.windows:
            rates[name] = self.quota.per_second(now, name)
        if self.limits is not None:
            most_calls = self.limits.max_in_flight / max(self.latency_s, SHORTEST_LATENCY_S)
            rates["requests"] = min(rates["requests"], most_calls)
        return rates

    def attraction(self, now: float) -> float:
        """Of several deployments that are free, the one with the highest value is taken."""
        weight = self.limits.weight if self.limits else 1.0
        return weight * self.quota.share_left(now) / max(self.latency_s, SHORTEST_LATENCY_S)

    async def admit(self, now: float, amounts: Amounts, *, burst_s: float) -> Ticket | float:
        """A ticket for a call, or the time at which to ask again; infinite: not before a call in
        progress ends."""
        at = self._callable_at(now)
        if at > now:
            return at
        self.in_flight += 1  # before the first await, so that the limit holds
        probe = self.breaker.began()
        try:
            reserved = await self.quota.try_reserve(now, amounts, burst_s=burst_s)
        except BaseException:
            self._leave(now, probe=probe)
            raise
        if isinstance(reserved, float):
            self._leave(now, probe=probe)
            return reserved
        return Ticket(self, reserved, probe)

    @property
    def call_s(self) -> float:
        """How long nearly every call takes at most."""
        return LATENCIES * self.latency_s if self._has_answered else UNKNOWN_CALL_S

    def patience_s(self, ticket: Ticket) -> float:
        """How long a call may take that could also go elsewhere. A probe is given more time the
        longer there were only failures: the deployment may be well again, but slower."""
        return max(self.breaker.pause_s, self.call_s) if ticket.probe else float("inf")

    def give_back(self, now: float, ticket: Ticket) -> None:
        """The call is not made after all."""
        self.quota.give_back(ticket.reservation)
        self._leave(now, probe=ticket.probe)

    def ended(
        self,
        now: float,
        ticket: Ticket,
        seconds: float,
        outcome: ProviderAnswer | BaseException,
    ) -> None:
        """Learn from a call that was made."""
        failed: bool | None = None
        if isinstance(outcome, ProviderAnswer | ProviderError):
            self.quota.learn(now, outcome.quota, ticket.reservation)
        if isinstance(outcome, ProviderAnswer):
            failed = False
            if self._has_answered:
                self.latency_s += NEWEST_SHARE * (seconds - self.latency_s)
            else:
                self.latency_s, self._has_answered = min(seconds, SLOW_FIRST_S), True
        elif isinstance(outcome, ProviderError):
            failed = speaks_against(outcome)
            if isinstance(outcome, ProviderTimeout) and seconds < LATENCIES * self.latency_s:
                failed = None
            self.last_error = (datetime.now(UTC), outcome)
        if isinstance(outcome, ProviderRateLimited):
            self.quota.refused(now, outcome.quota, outcome.retry_after_s)
        self._leave(now, failed=failed, probe=ticket.probe)

    def _callable_at(self, now: float) -> float:
        if self.limits and self.in_flight >= self.limits.max_in_flight:
            return float("inf")
        return self.breaker.free_at(now)

    def _leave(self, now: float, *, failed: bool | None = None, probe: bool) -> None:
        self.in_flight -= 1
        self.breaker.ended(now, failed=failed, probe=probe)
