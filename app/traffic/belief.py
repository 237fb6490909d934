"""What is believed about a limit, from what the provider says about it with its answers."""

MINUTE_S = 60.0

HOLDS_S = 60.0
"""Seconds for which a report is taken as true. Then it fades out over as long again."""

NOISE = 0.03
"""Share of the limit by which the provider's count may differ from ours even if there are no other
users: calls overtake each other on their way."""

LEARNED_FROM = 0.1
"""Share of the limit that we must use in a minute before the provider's count of it is a measure of
our estimates."""

LEAST_UNIT = 0.25
"""No estimate is further off than this: a count that says so is not taken as one."""

UNIT_MARGIN = 0.01
"""The provider's minute is last seen a moment before its end, when it is not quite full."""

LEAST_SHARE = 0.1
"""Share of the limit that is always tried, whatever is believed about others."""


class Belief:
    """How high a limit is, what others spend of it, and what the provider counts for one of our
    calls. All amounts are per minute; those that the provider reports are in its own units, others
    in ours."""

    def __init__(self, granted: float, *, estimated: bool, now: float) -> None:
        """`estimated`: the provider may count less for a call than is taken here for it."""
        self.granted = granted
        self.unit = 1.0
        """What the provider counts for one unit that is taken here."""
        self._estimated = estimated
        self._limit, self._limit_at = granted, now
        self._others, self._others_at = 0.0, now
        self._refused, self._refused_at = 0.0, now
        self._peak, self._peak_until = 0.0, now + MINUTE_S

    def per_minute(self, now: float) -> float:
        """The limit in the provider's units: what was granted, or less where the provider says
        so."""
        return min(self.granted, self._told(now))

    def limit(self, now: float) -> float:
        """The same in our units: what there is if nobody else spends."""
        return self.per_minute(now) / self.unit

    def left_by_others(self, now: float) -> float:
        """What there is, less what others are believed to spend."""
        left = self._told(now) / self.unit - self.others(now)
        return max(min(self.granted / self.unit, left), LEAST_SHARE * self.limit(now))

    def others(self, now: float) -> float:
        """What others are believed to spend."""
        return max(
            self._others * _faded(now - self._others_at),
            self._refused * _faded(now - self._refused_at),
        )

    def report(
        self, now: float, *, limit: float | None, remaining: float | None, own: float
    ) -> bool:
        """Take in what came with the answer to a call at which `own` had been taken here in a
        minute. Returns whether it tells what is left. Values that make no sense are ignored."""
        if limit is not None:
            if limit < 1:
                return False
            self._limit, self._limit_at = limit, now
        told = self._told(now)
        if remaining is None or not 0 <= remaining <= told:
            return False
        self._compare(now, told - remaining, own)
        others = (told - remaining - NOISE * told) / self.unit - own
        self._others, self._others_at = max(0.0, others), now
        return True

    def refused(self, now: float) -> None:
        """The provider found no room where we did: from now on estimates are taken as they are."""
        self._measure_by(1.0, now)

    def others_filled(self, now: float, *, own: float, elapsed_s: float, span_s: float) -> None:
        """A window of `span_s` was full after `elapsed_s`, with `own` taken here: this tells how
        fast others spend."""
        full = self._told(now) / self.unit
        others = max(0.0, full * span_s / MINUTE_S - own)
        self._refused, self._refused_at = min(full, others * MINUTE_S / elapsed_s), now

    def _told(self, now: float) -> float:
        return self.granted + (self._limit - self.granted) * _faded(now - self._limit_at)

    def _compare(self, now: float, counted: float, own: float) -> None:
        """Compare the provider's count of its minute so far with ours of the last 60 s: the two are
        nearest when its minute ends."""
        if not self._estimated:
            return
        if own * self.unit >= LEARNED_FROM * self._told(now):
            self._peak = max(self._peak, counted / own)
        if now >= self._peak_until and self._peak:
            unit = min(1.0, self._peak * (1 + UNIT_MARGIN))
            self._measure_by(unit if unit >= LEAST_UNIT else 1.0, now)

    def _measure_by(self, unit: float, now: float) -> None:
        self.unit, self._peak = unit, 0.0
        self._peak_until = now + MINUTE_S


def _faded(age_s: float) -> float:
    """The weight of a report of this age: since then, others may have come to stay, or gone."""
    return min(1.0, max(0.0, 2 - age_s / HOLDS_S))
