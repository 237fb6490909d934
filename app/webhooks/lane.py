"""Limits the rate at which a webhook is sent to: a slow receiver delays no others."""

from collections.abc import Callable

from aiolimiter import AsyncLimiter

from app.traffic import Breaker

SLOWED_S, LONGEST_SLOWED_S = 1.0, 60.0
"""Seconds for which an overloaded receiver that sends no Retry-After is left alone: first, and at
most; doubled each time."""


class Lane:
    """The deliveries to one webhook, in one process.

    Each time a receiver reports overload, its concurrency is halved; each success adds one. A
    receiver that only fails is left alone, and probed with one delivery now and then.
    """

    def __init__(
        self,
        *,
        at_once: int,
        per_second: float | None,
        longest_hold_s: float,
        clock: Callable[[], float],
    ) -> None:
        """`longest_hold_s`: the longest pause that a receiver may ask for."""
        self._most = at_once
        self._at_once = float(at_once)
        self._per_second = per_second
        self._limiter = None if per_second is None else _limiter(per_second)
        self._longest_hold_s = longest_hold_s
        self._clock = clock
        self._breaker = Breaker()
        self._held_until = 0.0
        self._slowed_s = SLOWED_S
        self.in_flight = 0

    def room(self) -> int:
        """How many deliveries may start now; each must then call `turn`."""
        if self.free_in_s() > 0:
            return 0
        probing = self._breaker.state(self._clock()) != "closed"
        return max(0, (1 if probing else int(self._at_once)) - self.in_flight)

    def free_in_s(self) -> float:
        """Seconds until it is worth checking again, given failures and the webhook's own limit."""
        now = self._clock()
        free_at = self._breaker.free_at(now)
        if free_at == float("inf"):
            return 0.0  # a probe is under way, whose end decides
        return max(0.0, free_at - now, self._held_until - now, self._limited_s())

    async def turn(self) -> bool:
        """Starts a delivery, if there is `room`; returns whether it is the probe, for `ended`."""
        if self._limiter is not None:
            await self._limiter.acquire()  # without waiting: there is room
        self.in_flight += 1
        return self._breaker.began()

    def ended(
        self, *, probe: bool, failed: bool | None, overloaded: bool, retry_after_s: float | None
    ) -> None:
        """`failed` None: the outcome says nothing about the receiver."""
        now = self._clock()
        self.in_flight -= 1
        self._breaker.ended(now, failed=failed, probe=probe)
        if overloaded:
            self._at_once = max(1.0, self._at_once / 2)
            wait_s = self._slowed_s
            if retry_after_s is not None:
                wait_s = min(retry_after_s, self._longest_hold_s)
            self._held_until = max(self._held_until, now + wait_s)
            self._slowed_s = min(2 * self._slowed_s, LONGEST_SLOWED_S)
        elif failed is False:
            self._at_once = min(float(self._most), self._at_once + 1)
            self._slowed_s = SLOWED_S

    def _limited_s(self) -> float:
        """The limiter does not say when; a quarter of the interval between deliveries is soon
        enough."""
        if self._limiter is None or self._per_second is None or self._limiter.has_capacity():
            return 0.0
        return 1 / (4 * self._per_second)


def _limiter(per_second: float) -> AsyncLimiter:
    """Evenly spaced: a burst is at most a tenth of a second's worth, or one."""
    burst = max(1.0, per_second / 10)
    return AsyncLimiter(burst, burst / per_second)
