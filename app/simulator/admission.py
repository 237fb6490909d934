"""Who gets in, as Azure decides it: on arrival, by requests and by an estimate of tokens.

Nothing waits and nothing ticks here: `now`, in seconds of any clock, comes with every call.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

MINUTE = 60.0  # seconds
NO_QUOTA_RETRY_S = 86_400.0
"""What a deployment without any quota asks to be waited for."""


@dataclass(frozen=True, slots=True)
class Quota:
    """
    Attributes:
        rpm: requests per minute, held over windows of `window_s`.
        tpm: tokens per minute.
        tenant_share: 0 to 1, what somebody else takes of both, evenly over time.
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
        refused_by: None for a call that got in.
        retry_after_s: until the window that refused it turns over; 0 for a call that got in.
        remaining_requests: of the quota, after the requests of the last 60 s.
        remaining_tokens: of the quota, in this minute.
    """

    refused_by: Literal["requests", "tokens"] | None
    retry_after_s: float
    remaining_requests: int
    remaining_tokens: int


class Admission:
    """One deployment's windows. They are aligned: to multiples of their length, not to calls."""

    def __init__(self, quota: Quota) -> None:
        """`quota` may be replaced at any time; what was counted stays counted."""
        self.quota = quota
        self._window = self._minute = -1
        self._requests = self._tokens = 0
        self._arrivals: deque[float] = deque()

    def admit(self, tokens: int, now: float) -> Decision:
        """Decide on a call that takes `tokens` at most. It counts as a request either way, its
        tokens only when it gets in."""
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
