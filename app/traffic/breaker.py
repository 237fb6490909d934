"""A circuit breaker: sets a deployment aside while it fails, then tries it with one call."""

from collections import deque
from typing import Literal

State = Literal["closed", "open", "half_open"]

CALLS = 10
FAILURES = 6
WINDOW_S = 30.0
"""The breaker opens when so many of the last calls failed, all of them within the window. Of calls
that fail at random at 5 %, one in 300,000 completes such a series."""

PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0
"""Seconds before the first probe, and the longest pause: it doubles with every probe that fails."""


class Breaker:
    """It reads no clock: times are passed in, in seconds of one clock."""

    def __init__(self) -> None:
        self._calls: deque[tuple[float, bool]] = deque(maxlen=CALLS)
        self._pause_s = PAUSE_S
        self._open_until: float | None = None
        self._probing = False
        self.failing_since: float | None = None
        """When it last opened after being closed; None while it is closed."""

    @property
    def pause_s(self) -> float:
        """How long it stays open before a probe."""
        return self._pause_s

    def state(self, now: float) -> State:
        if self._open_until is None:
            return "closed"
        return "half_open" if self._probing or now >= self._open_until else "open"

    def free_at(self, now: float) -> float:
        """When a call may be tried; infinite while the one probe is in progress."""
        if self._open_until is None:
            return now
        return float("inf") if self._probing else max(now, self._open_until)

    def began(self) -> bool:
        """A call is made, as `free_at` allowed; returns whether it is the probe."""
        self._probing = self._open_until is not None
        return self._probing

    def ended(self, now: float, *, failed: bool | None, probe: bool) -> None:
        """A call ended; `failed` None: it says nothing about the deployment."""
        if probe:
            self._probed(now, failed=failed)
        elif failed is not None and self._open_until is None:
            self._calls.append((now, failed))
            failures = [at for at, each in self._calls if each and now - at <= WINDOW_S]
            if len(failures) >= FAILURES:
                self._open(now)

    def _probed(self, now: float, *, failed: bool | None) -> None:
        self._probing = False
        if failed:
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            self._open(now)
        elif failed is False:
            self._open_until, self._pause_s, self.failing_since = None, PAUSE_S, None

    def _open(self, now: float) -> None:
        self._open_until = now + self._pause_s
        if self.failing_since is None:
            self.failing_since = now
        self._calls.clear()
