"""Whether a failed call is worth another one, and when. Decides only; the dispatcher waits."""

from dataclasses import dataclass

from app.errors import (
    ClassifierError,
    ContentFiltered,
    ProviderAdjusting,
    ProviderAnswerInvalid,
    ProviderDenied,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
)

MAX_ADJUSTMENTS = 8
"""More than a deployment can teach: every parameter that can be left out, and its cap."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to keep trying.

    Attributes:
        retries: calls after the first one.
        total_s: seconds from the first call to the last answer.
        base_s: mean wait before the first retry is half of this; it doubles each time.
        cap_s: the longest wait that we choose ourselves.
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

    The wait is full jitter: uniform over [0, base_s * 2**(attempt - 1)], capped (AWS Architecture
    Blog, "Exponential Backoff And Jitter", 2015). `jitter` in [0, 1) is the random number it is
    drawn with. After a refusal for quota there is no wait here: the quota knows when there is room.
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
    if isinstance(error, ProviderRateLimited):
        seconds = 0.0
    if elapsed_s + seconds >= policy.total_s:
        return GiveUp("out of time")
    return Wait(seconds)


class RetryBudget:
    """Beyond the first few, retries may be `share` of all calls: when a provider fails for long,
    more retries would only add to its load, and to the bill."""

    RESERVE = 10.0

    def __init__(self, share: float) -> None:
        self._share = share
        self._left = self.RESERVE

    def called(self) -> None:
        """A first call was made."""
        self._left = min(self.RESERVE, self._left + self._share)

    def spend(self) -> bool:
        """Whether another call may be a retry; if so, it is counted."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


def speaks_against(error: ClassifierError) -> bool | None:
    """Whether an error shows that its deployment fails; None: it says nothing about that."""
    if isinstance(error, ProviderUnavailable | ProviderDenied):
        return True
    if isinstance(error, ProviderAnswerInvalid | ContentFiltered | ProviderRefused):
        return False
    return None


def helps_elsewhere(error: ClassifierError) -> bool:
    """Whether another deployment may answer what failed here."""
    return isinstance(error, ProviderUnavailable | ProviderDenied | ProviderRateLimited)
