"""When a failed delivery is retried."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random


class Schedule:
    """Seconds between attempts, with jitter so that not all retries coincide."""

    def __init__(
        self,
        waits_s: Sequence[float],
        *,
        jitter: float,
        longest_retry_after_s: float,
        random: Callable[[], float] | None = None,
    ) -> None:
        """`waits_s` begins with the wait before the first attempt; it has as many entries as
        attempts are made. `jitter` is a fraction, `random` returns numbers from 0 to 1."""
        self._waits_s = tuple(waits_s)
        self._jitter = jitter
        self._longest_retry_after_s = longest_retry_after_s
        self._random = random or Random().random  # noqa: S311

    def next(self, tries: int, now: datetime, *, retry_after_s: float | None) -> datetime | None:
        """The next attempt after `tries` failures; None: there are no more. A receiver may ask for
        a longer wait, not for a shorter one."""
        if tries >= len(self._waits_s):
            return None
        spread = 1 + self._jitter * (2 * self._random() - 1)
        wait_s = self._waits_s[tries] * spread
        if retry_after_s is not None:
            wait_s = max(wait_s, min(retry_after_s, self._longest_retry_after_s))
        return now + timedelta(seconds=wait_s)
