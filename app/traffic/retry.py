"""Whether a failed call is worth another one, and when. Decides only; the dispatcher waits."""

from dataclasses import dataclass

from app.errors import (
    ClassifierError,
    ProviderAdjusting,
    ProviderAnswerInvalid,
    ProviderRateLimited,
    ProviderUnavailable,
)

MAX_ADJUSTMENTS = 8
"""More than a deployment can have to teach: every parameter that can be left out, and its cap."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to insist.

    Attributes:
        retries: calls after the first one.
        total_s: seconds from the first call to the last answer.
        base_s: mean wait before the first retry is half of this; it doubles each time.
        cap_s: no wait of our own choosing is longer.
    """

    retries: int = 3
    total_s: float = 30.0
    base_s: float = 1.0
    cap_s: float = 8.0


@dataclass(frozen=True, slots=True)
class Wait:
    """Call again after `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Tell the caller; `reason` goes into the log."""

    reason: str


def decide_retry(
    error: ClassifierError,
    *,
    attempt: int,
    elapsed_s: float,
    policy: RetryPolicy,
    jitter: float,
    adjustments: int = 0,
) -> Wait | GiveUp:
    """Decide what follows the failure of call number `attempt` (1 = the first).

    Calls that only taught how to ask (ProviderAdjusting) count as `adjustments`, not as attempts.

    The wait is the one the provider asked for, else full jitter: uniform over
    [0, base_s * 2**(attempt - 1)], capped (AWS Architecture Blog, "Exponential Backoff And
    Jitter", 2015). `jitter` in [0, 1) is the random number it is drawn with.
    """
    if isinstance(error, ProviderAdjusting) and adjustments <= MAX_ADJUSTMENTS:
        return Wait(0.0) if elapsed_s < policy.total_s else GiveUp("out of time")
    if not isinstance(error, ProviderUnavailable | ProviderRateLimited | ProviderAnswerInvalid):
        return GiveUp("final")
    # A model that twice answers nonsense will do so a third time.
    most = min(1, policy.retries) if isinstance(error, ProviderAnswerInvalid) else policy.retries
    if attempt > most:
        return GiveUp("retries used up")
    seconds = min(policy.cap_s, policy.base_s * 2 ** (attempt - 1)) * jitter
    if isinstance(error, ProviderRateLimited) and error.retry_after_s is not None:
        seconds = error.retry_after_s
    if elapsed_s + seconds >= policy.total_s:
        return GiveUp("out of time")
    return Wait(seconds)
