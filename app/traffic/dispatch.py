"""The one way to a provider: limited, retried, timed, and on to the next one when one is down."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog
from aiolimiter import AsyncLimiter

from app.domains import Domain
from app.errors import (
    ClassifierError,
    ProviderAdjusting,
    ProviderCannotServeDomain,
    ProviderError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    ProviderUnknown,
)
from app.images import PreparedImage
from app.providers.base import Capabilities, Provider, ProviderAnswer
from app.providers.registry import ProviderRegistry
from app.telemetry.health import Health
from app.telemetry.metrics import Metrics
from app.traffic.retry import GiveUp, RetryPolicy, decide_retry
from app.usage import TokenUsage

log = structlog.stdlib.get_logger(__name__)

DOWN = (ProviderUnavailable, ProviderRateLimited, ProviderRejected)
WORTH_ANOTHER_PROVIDER = (*DOWN, ProviderCannotServeDomain, ProviderUnknown)


@dataclass(slots=True)
class Spent:
    """What asking has cost so far, also when it fails in the end.

    Attributes:
        wait_s: seconds spent on the limiter and between attempts.
        provider_s: seconds spent in calls.
        provider: who was asked last; None before the first call.
    """

    usage: TokenUsage = field(default_factory=TokenUsage)
    wait_s: float = 0.0
    provider_s: float = 0.0
    calls: int = 0
    provider: str | None = None
    capabilities: Capabilities | None = None


class Dispatcher:
    """Asks providers. The policy's total time is for all of it: waits, retries, fallbacks."""

    def __init__(
        self,
        registry: ProviderRegistry,
        policy: RetryPolicy,
        metrics: Metrics,
        health: Health,
        *,
        requests_per_minute: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._registry = registry
        self._policy = policy
        self._metrics = metrics
        self._health = health
        # A sixth of a minute's calls at once and no more: a full minute's burst would let nearly
        # twice the limit through in the first minute.
        self._limiter = AsyncLimiter(
            max(1.0, requests_per_minute / 6), max(10.0, 60 / requests_per_minute)
        )
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter

    async def ask(
        self, names: Sequence[str], image: PreparedImage, domain: Domain, spent: Spent
    ) -> ProviderAnswer:
        """Ask the providers in order until one answers; what it costs is added to `spent`.

        Raises the ProviderError of the last one that was down, else why none could be asked.
        """
        deadline = self._clock() + self._policy.total_s
        failure: ClassifierError | None = None
        for position, name in enumerate(names):
            left = len(names) - position
            policy = replace(
                self._policy,
                retries=self._policy.retries if domain.max_retries is None else domain.max_retries,
                # Whoever comes later must have time left to answer in.
                total_s=max(0.0, deadline - self._clock()) / left,
            )
            try:
                provider = await self._registry.get(name)
                return await self._insist(provider, image, domain, policy, spent)
            except WORTH_ANOTHER_PROVIDER as error:
                log.warning("a provider does not answer", provider=name, reason=error.slug())
                # Who was down matters more than who could not have helped.
                failure = error if isinstance(error, DOWN) else failure or error
        raise failure or ProviderUnavailable("No provider is named for this domain.")

    async def _insist(
        self,
        provider: Provider,
        image: PreparedImage,
        domain: Domain,
        policy: RetryPolicy,
        spent: Spent,
    ) -> ProviderAnswer:
        began = self._clock()
        attempt, adjustments = 1, 0
        while True:
            try:
                timeout = policy.total_s - (self._clock() - began)
                await self._admit(provider, timeout, spent)
                timeout = policy.total_s - (self._clock() - began)
                return await self._call(provider, image, domain, timeout, spent)
            except ProviderError as error:
                adjustments += isinstance(error, ProviderAdjusting)
                decision = decide_retry(
                    error,
                    attempt=attempt,
                    adjustments=adjustments,
                    elapsed_s=self._clock() - began,
                    policy=policy,
                    jitter=self._jitter(),
                )
                if isinstance(decision, GiveUp):
                    raise
                log.info(
                    "retry", provider=provider.name, reason=error.kind, wait_s=decision.seconds
                )
                await self._sleep(decision.seconds)
                spent.wait_s += decision.seconds
                attempt += not isinstance(error, ProviderAdjusting)

    async def _admit(self, provider: Provider, timeout: float, spent: Spent) -> None:
        if not provider.capabilities().metered:
            return
        began = self._clock()
        try:
            async with asyncio.timeout(timeout):
                await self._limiter.acquire()
        except TimeoutError:
            raise ProviderRateLimited(
                "The limit of calls per minute leaves no room in time.",
                retry_after_s=self._limiter.time_period / self._limiter.max_rate,
            ) from None
        finally:
            spent.wait_s += self._clock() - began

    async def _call(
        self,
        provider: Provider,
        image: PreparedImage,
        domain: Domain,
        timeout: float,
        spent: Spent,
    ) -> ProviderAnswer:
        began = self._clock()
        try:
            answer = await self._timed(provider, image, domain, timeout)
        except ProviderCannotServeDomain:
            # Nobody was asked: the row goes on telling of whoever was before.
            raise
        except BaseException as error:
            usage = error.usage if isinstance(error, ProviderError) else TokenUsage()
            self._book(provider, domain, usage, self._clock() - began, spent)
            raise
        self._book(provider, domain, answer.usage, self._clock() - began, spent)
        self._health.provider_answered()
        return answer

    async def _timed(
        self, provider: Provider, image: PreparedImage, domain: Domain, timeout: float
    ) -> ProviderAnswer:
        self._metrics.call_started(provider.name)
        try:
            async with asyncio.timeout(timeout):
                return await provider.classify(image, domain, timeout=timeout)
        except TimeoutError:
            self._metrics.provider_error(provider=provider.name, kind=ProviderTimeout.kind)
            raise ProviderTimeout(f"No answer within {timeout:.1f} s.") from None
        except ProviderError as error:
            self._metrics.provider_error(provider=provider.name, kind=error.kind)
            raise
        finally:
            self._metrics.call_finished(provider.name)

    def _book(
        self, provider: Provider, domain: Domain, usage: TokenUsage, seconds: float, spent: Spent
    ) -> None:
        spent.calls += 1
        spent.provider_s += seconds
        spent.provider = provider.name
        spent.usage += usage
        spent.capabilities = capabilities = provider.capabilities()
        if usage.prompt or usage.completion:
            self._metrics.tokens(
                deployment=capabilities.deployment or provider.name,
                domain=domain.name,
                prompt=usage.prompt,
                completion=usage.completion,
                parts=dict(usage.parts),
            )
