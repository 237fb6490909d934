"""Which calls are admitted, decided as Azure does: on arrival, by requests and by estimated tokens.

Nothing waits here and there are no timers: each call passes `now`, in seconds of any clock.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

MINUTE = 60.0  # seconds
NO_QUOTA_RETRY_S = 86_400.0
"""The wait that a deployment without any quota asks for."""


@dataclass(frozen=True, slots=True)
class Quota:
    """
    Attributes:
        rpm: requests per minute, enforced in windows of `window_s`.
        tpm: tokens per minute.
        tenant_share: 0 to 1, the share of both that another tenant uses, evenly over time.
    """

    rpm: int
    tpm: int
    window_s: float = 10
    tenant_share: float = 0

    @property
    def requests_per_window(self) -> int:
        """At least 1, unless there is no quota at all."""
        return max(1, int(self.rpm * self.window_s / MINUTE)) if self.rpm else 0


@dataclass(frozen=True, slots=True)
class Decision:
    """
    Attributes:
        refused_by: None for an admitted call.
        retry_after_s: until the window that refused it turns over; 0 for an admitted call.
        remaining_requests: of the quota, after the requests of the last 60 s.
        remaining_tokens: of the quota, in this minute.
    """

    refused_by: Literal["requests", "tokens"] | None
    retry_after_s: float
    remaining_requests: int
    remaining_tokens: int


class Admission:
    """The windows of one deployment, aligned to multiples of their length, not to calls."""

    def __init__(self, quota: Quota) -> None:
        """`quota` may be replaced at any time; the counts are kept."""
        self.quota = quota
        self._window = self._minute = -1
        self._requests = self._tokens = 0
        self._arrivals: deque[float] = deque()

    def admit(self, tokens: int, now: float) -> Decision:
        """Decide on a call that takes at most `tokens`. It always counts as a request; its tokens
        count only when it is admitted."""
        self._turn_over(now)
        refused_by, retry_after_s = self._refusal(tokens, now)
        self._requests += 1
        self._arrivals.append(now)
        if refused_by is None:
            self._tokens += tokens
        return Decision(
            refused_by,
            retry_after_s,
            remaining_requests=self._left(self.quota.rpm, len(self._arrivals), 1.0),
            remaining_tokens=self._left(self.quota.tpm, self._tokens, now % MINUTE / MINUTE),
        )

    def _turn_over(self, now: float) -> None:
        window, minute = int(now // self.quota.window_s), int(now // MINUTE)
        if window != self._window:
            self._window, self._requests = window, 0
        if minute != self._minute:
            self._minute, self._tokens = minute, 0
        while self._arrivals and self._arrivals[0] <= now - MINUTE:
            self._arrivals.popleft()

    def _refusal(
        self, tokens: int, now: float
    ) -> tuple[Literal["requests", "tokens"] | None, float]:
        quota = self.quota
        elapsed = now % quota.window_s / quota.window_s
        if self._requests + 1 + quota.tenant_share * elapsed * quota.requests_per_window > (
            quota.requests_per_window
        ):
            return "requests", _wait(now, quota.window_s) if quota.rpm else NO_QUOTA_RETRY_S
        elapsed = now % MINUTE / MINUTE
        if self._tokens + tokens + quota.tenant_share * elapsed * quota.tpm > quota.tpm:
            return "tokens", _wait(now, MINUTE) if quota.tpm else NO_QUOTA_RETRY_S
        return None, 0.0

    def _left(self, limit: int, used: int, elapsed: float) -> int:
        return max(0, math.floor(limit - used - self.quota.tenant_share * elapsed * limit))


def _wait(now: float, window_s: float) -> float:
    return (math.floor(now / window_s) + 1) * window_s - now
