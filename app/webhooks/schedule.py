"""When a delivery that failed is tried again."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random


class Schedule:
    """Seconds between attempts, each a bit longer or shorter so that not all come back at once."""

    def __init__(
        self,
        waits_s: Sequence[float],
        *,
        jitter: float,
        longest_retry_after_s: float,
        random: Callable[[], float] | None = None,
    ) -> None:
        """`waits_s` begins with the wait before the first attempt; as many as it has are made.
        `jitter` is a share, `random` gives numbers from 0 to 1."""
        self._waits_s = tuple(waits_s)
        self._jitter = jitter
        self._longest_retry_after_s = longest_retry_after_s
        self._random = random or Random().random  # noqa: S311

    def next(self, tries: int, now: datetime, *, retry_after_s: float | None) -> datetime | None:
        """After `tries` that failed; None: it was the last. A receiver may ask for more time than
        that, not for less."""
        if tries >= len(self._waits_s):
            return None
        spread = 1 + self._jitter * (2 * self._random() - 1)
        wait_s = self._waits_s[tries] * spread
        if retry_after_s is not None:
            wait_s = max(wait_s, min(retry_after_s, self._longest_retry_after_s))
        return now + timedelta(seconds=wait_s)
