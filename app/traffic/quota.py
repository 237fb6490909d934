"""The quota of one deployment: requests and tokens a minute, reserved together."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.traffic.window import Entry, Window
from app.usage import QuotaReport

LONGEST_PAUSE_S = 60.0
"""Seconds. A provider that asks for a day (`retry-after: 86400`) is asked again sooner."""

UNTOLD_PAUSE_S = 1.0
"""Seconds of pause after a refusal that names no time."""

Amounts = Mapping[str, float]
"""What a call takes, by dimension: `{"requests": 1, "tokens": 450}`."""


@dataclass(slots=True)
class Reservation:
    """What a call holds.

    Attributes:
        at: when it was made, in seconds of the clock that the quota is asked with.
        own: what was taken in the minute up to it, by dimension, by all processes that count
            together.
        shared_id: the id under which it is counted in Redis; None where it is not.
    """

    at: float
    entries: dict[str, Entry]
    own: dict[str, float]
    shared_id: str | None = None


class Quota:
    """Decides, and never waits for room. All times are seconds of one clock.

    What is reserved stays so until its window ends, even if the call fails or costs less: that is
    how Azure counts. Only what the provider itself says corrects it.
    """

    is_shared = False
    """Whether other processes count in it, too."""

    def __init__(self, windows: Mapping[str, Window]) -> None:
        """One window for each dimension; any number of them."""
        self.windows = windows
        self.paused_until = float("-inf")

    def free_at(self, now: float, amounts: Amounts, *, burst_s: float) -> float:
        """When all of `amounts` fit, if nothing else is reserved before; `now` or earlier: at once.
        At most the limit of `burst_s` seconds goes through at once."""
        free = [
            window.free_at(now, amounts[name], burst_s=burst_s)
            for name, window in self.windows.items()
        ]
        return max([self.paused_until, *free])

    async def try_reserve(
        self, now: float, amounts: Amounts, *, burst_s: float
    ) -> Reservation | float:
        """Reserve if all of `amounts` fit, else say when to try again."""
        at = self.free_at(now, amounts, burst_s=burst_s)
        return self.reserve(now, amounts) if at <= now else at

    def reserve(self, now: float, amounts: Amounts) -> Reservation:
        """Take `amounts`, whether they fit or not."""
        entries, own = {}, {}
        for name, window in self.windows.items():
            entries[name] = window.take(now, amounts[name])
            own[name] = window.own_in_minute(now)
        return Reservation(now, entries, own)

    def give_back(self, reservation: Reservation) -> None:
        """Give back what was reserved for a call that was never made."""
        for name, entry in reservation.entries.items():
            self.windows[name].give_back(entry)

    def per_second(self, now: float, name: str) -> float:
        """How much of a dimension is let through per second in the long run."""
        return self.windows[name].per_second(now)

    def left(self, now: float, name: str) -> float:
        """How much of a dimension could be taken at once."""
        return self.windows[name].left(now)

    def share_left(self, now: float) -> float:
        """What is left of the scarcest dimension, as a share, 0 to 1; 0 during a pause after a
        refusal."""
        if now < self.paused_until:
            return 0.0
        shares = (self.left(now, name) / each.limit(now) for name, each in self.windows.items())
        return min(shares, default=1.0)

    def learn(self, now: float, report: QuotaReport, reservation: Reservation) -> None:
        """Take in what the provider said with its answer to a call."""
        for name, window in self.windows.items():
            limit, remaining = report.of(name)
            window.report(now, limit=limit, remaining=remaining, own=reservation.own[name])

    def refused(self, now: float, report: QuotaReport, retry_after_s: float | None) -> None:
        """The provider refused a call for lack of quota, or of capacity: in the latter case, the
        reason is not that others use the same quota."""
        for name in self._lacking(report):
            self.windows[name].refused(
                now, retry_after_s=retry_after_s, times_own=self._times_own(now, name)
            )
        pause_s = UNTOLD_PAUSE_S if retry_after_s is None else retry_after_s
        self.paused_until = max(self.paused_until, now + min(pause_s, LONGEST_PAUSE_S))

    def _times_own(self, now: float, name: str) -> float:
        """What all processes that count together took, as a multiple of what was taken here."""
        return 1.0

    def _lacking(self, report: QuotaReport) -> list[str]:
        if report.lacking is not None:
            return [name for name in self.windows if name == report.lacking]
        return [name for name in self.windows if report.of(name)[1] == 0] or [*self.windows]
