"""What is believed of a limit, from what the service says of it with its answers."""

MINUTE_S = 60.0

HOLDS_S = 60.0
"""How long what was told is taken for true. Then it fades for as long again."""

NOISE = 0.03
"""Share of the limit by which the service's own count may differ from ours without others being
there: calls overtake each other on their way."""

LEARNED_FROM = 0.1
"""Share of the limit that must be ours in a minute before the service's count of it is a measure of
our estimates."""

LEAST_UNIT = 0.25
"""No estimate is further off: what says so is no count."""

UNIT_MARGIN = 0.01
"""The service's minute is seen a moment before its end, when it is not quite full."""

LEAST_SHARE = 0.1
"""Of the limit, that is always tried, whatever is believed of others."""


class Belief:
    """How high a limit is, what others spend of it, and what the service counts for one of our
    calls. All amounts are per minute; those that the service tells are in its own count, others in
    ours."""

    def __init__(self, granted: float, *, estimated: bool, now: float) -> None:
        """`estimated`: the service may count less for a call than is taken here for it."""
        self.granted = granted
        self.unit = 1.0
        """What the service counts for one that is taken here."""
        self._estimated = estimated
        self._limit, self._limit_at = granted, now
        self._others, self._others_at = 0.0, now
        self._refused, self._refused_at = 0.0, now
        self._peak, self._peak_until = 0.0, now + MINUTE_S

    def per_minute(self, now: float) -> float:
        """The limit in the service's count: what was granted, or less where the service says so."""
        return min(self.granted, self._told(now))

    def limit(self, now: float) -> float:
        """The same in ours: what there is without others."""
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
        """What came with an answer to a call at which `own` was taken here in a minute; whether it
        tells what is left. What makes no sense is passed over."""
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
        """The service found no room where here there was: estimates are taken as they are."""
        self._measure_by(1.0, now)

    def others_filled(self, now: float, *, own: float, elapsed_s: float, span_s: float) -> None:
        """A window of `span_s` was full after `elapsed_s`, with `own` taken here: so fast do others
        spend."""
        full = self._told(now) / self.unit
        others = max(0.0, full * span_s / MINUTE_S - own)
        self._refused, self._refused_at = min(full, others * MINUTE_S / elapsed_s), now

    def _told(self, now: float) -> float:
        return self.granted + (self._limit - self.granted) * _faded(now - self._limit_at)

    def _compare(self, now: float, counted: float, own: float) -> None:
        """The service's count of its minute so far is nearest to ours, of the last 60 s, when its
        minute ends."""
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
    """Of what was told so long ago: somebody else may have come to stay, or gone."""
    return min(1.0, max(0.0, 2 - age_s / HOLDS_S))
