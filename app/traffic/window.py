"""One dimension of a quota: what is spent in any span of seconds, and at which pace."""

from collections import deque
from dataclasses import dataclass

MINUTE_S = 60.0

START_STEPS = 20
"""Pieces in which what may have been spent before the start is let go."""

REFUSAL_HOLDS_S = 60.0
"""How long what a refusal told of others is taken for true, where nobody tells more."""

NOISE = 0.03
"""Share of the limit by which the service's own count may differ from ours without others being
there: calls overtake each other on their way."""

TINY = 1e-6
"""Sums of amounts are this exact."""

LEARNED_FROM = 0.1
"""Share of the limit that must be ours in a minute before the service's count of it is a measure of
our estimates."""

LEAST_UNIT = 0.25
"""No estimate is believed to be further off."""

UNIT_MARGIN = 0.01
"""The service's minute is seen a moment before its end, when it is not quite full."""

MIN_ELAPSED = 0.1
"""Share of a span that must have gone by before a refusal tells how fast others spend."""


@dataclass(slots=True)
class Entry:
    """An amount, and when it was taken (seconds)."""

    at: float
    amount: float


class _Log:
    """What was taken in the last `span_s` seconds, and its sum."""

    __slots__ = ("entries", "span_s", "total")

    def __init__(self, span_s: float) -> None:
        self.span_s = span_s
        self.entries: deque[Entry] = deque()
        self.total = 0.0

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.total += entry.amount

    def lose(self, entry: Entry, now: float) -> None:
        if entry.at + self.span_s > now:
            self.total -= entry.amount

    def age(self, now: float) -> None:
        while self.entries and self.entries[0].at + self.span_s <= now:
            self.total -= self.entries.popleft().amount
        if not self.entries:
            self.total = 0.0

    def since(self, start: float) -> float:
        """The sum of what was taken after `start`."""
        total = 0.0
        for entry in reversed(self.entries):
            if entry.at <= start:
                break
            total += entry.amount
        return total


class Window:
    """At most `per_minute * span_s / 60` in any `span_s` seconds, counted where the service counts.

    Whoever enforces the quota sees a call somewhat later than it was taken here, one later than the
    other: so an amount is held for `span_s + guard_s`. It is held whatever becomes of the call, as
    Azure counts calls at their arrival, refused ones too.

    Where amounts are estimates the service may count less for the same calls: how much less, a
    whole minute of its reports tells. Where it counts more, that looks like others.

    Others may spend from the same quota. What is known of them is taken off the limit: from what
    the service says is left (`report`), and from its refusals (`refused`). Times are seconds of any
    clock; one that goes back stands still.
    """

    def __init__(
        self,
        per_minute: float,
        *,
        span_s: float,
        shortest_s: float | None = None,
        guard_s: float = 0.05,
        estimated: bool = False,
        now: float = 0.0,
    ) -> None:
        """`shortest_s`: the service may enforce the limit over as few seconds, too, which its
        refusals tell. `estimated`: amounts are estimates. The span before the start counts as
        spent, but for the first amount: a process that was here before may have spent it."""
        self.granted = per_minute
        self.share = 1.0
        """Of all of it: what is this process's while it can't count together with others."""
        self.span_s = span_s
        self._spans = (span_s if shortest_s is None else shortest_s, span_s)
        self._guard_s = guard_s
        self._told = per_minute
        self.unit = 1.0
        """What the service counts for one that is taken here."""
        self._estimated = estimated
        self._peak = 0.0
        self._peak_until = now + MINUTE_S
        self._now = now
        self._held = _Log(span_s + guard_s)
        self._minute = _Log(MINUTE_S)
        self._next = now
        self._others_told = 0.0
        self._others_refused = 0.0
        self._refused_at = now
        self._cap_now: float | None = None
        self._untouched = True
        self._assumed = self._spent_before(now)

    @property
    def per_minute(self) -> float:
        """The limit: what was granted, or less where the service says so."""
        return min(self.granted, self._told)

    @property
    def assumes(self) -> bool:
        """The service has not told yet what is left of the quota."""
        return bool(self._assumed)

    @property
    def held_s(self) -> float:
        """How long an amount is held, in seconds."""
        return self._held.span_s

    @property
    def limit(self) -> float:
        """What a span holds when there are no others."""
        return self._of_span(self.per_minute)

    def cap(self, now: float) -> float:
        """What a span holds, less what is known of others."""
        self._age(now)
        return self._cap()

    def per_second(self, now: float) -> float:
        """What is let through in the long run."""
        self._age(now)
        return self._rate()

    def left(self, now: float) -> float:
        """What may be taken right now."""
        return max(0.0, self.cap(now) - self._held.total)

    def free_at(self, now: float, amount: float, *, burst_s: float) -> float:
        """When `amount` fits, if nothing else is taken before; `now` or earlier: at once.

        At most the limit of `burst_s` seconds is let through at once. More than the limit fits into
        an empty window.
        """
        self._age(now)
        return max(self._next - burst_s, self._room_at(amount))

    def take(self, now: float, amount: float) -> Entry:
        """Spend it, whether it fits or not."""
        self._age(now)
        self._untouched = False
        entry = Entry(self._now, amount)
        self._held.add(entry)
        self._minute.add(entry)
        paced = max(self._next, self._now) + amount / self._rate()
        # What was taken while others left little must not hold up what they leave later.
        self._next = min(paced, self._now + self._held.span_s)
        return entry

    def give_back(self, entry: Entry) -> None:
        """What was taken for a call that never left."""
        for log in (self._held, self._minute):
            log.lose(entry, self._now)
        self._next -= entry.amount / self._rate()
        entry.amount = 0.0

    def own_in_minute(self, now: float) -> float:
        """What was taken in the last minute."""
        self._age(now)
        return self._minute.total

    def report(
        self, now: float, *, limit: float | None, remaining: float | None, own: float
    ) -> None:
        """What the service said, of a minute, with an answer to the call at which `own` was taken
        here in a minute. What makes no sense is passed over."""
        self._age(now)
        told = self._told if limit is None else limit
        if told <= 0:
            return
        self._told, self._cap_now = told, None
        if remaining is None or not 0 <= remaining <= told:
            return
        self._know()
        self._compare(told - remaining, own)
        others = (told - remaining - NOISE * told) / self.unit - own
        self._others_told = max(0.0, others) * self.span_s / MINUTE_S

    def refused(self, now: float, *, retry_after_s: float | None, times_own: float = 1.0) -> None:
        """The service found no room where here there was: others are there. When its window ends is
        known from `retry_after_s`, so how fast it filled. Those who count together with us took
        what we did `times_own`, ours included."""
        self._age(now)
        self._know()
        self._cap_now = None
        self._measure_by(1.0)
        if retry_after_s is None or retry_after_s < 0 or self._respanned(retry_after_s):
            return
        if retry_after_s > self.span_s * (1 - MIN_ELAPSED):
            return
        elapsed_s = self.span_s - retry_after_s
        told = self._of_span(self._told)
        own = times_own * self._minute.since(self._now - elapsed_s)
        others = max(0.0, told - own)
        self._others_refused = min(told, others * self.span_s / elapsed_s)
        self._refused_at = self._now

    def _respanned(self, retry_after_s: float) -> bool:
        """Whether a refusal is explained by a window of another length than was believed."""
        shortest_s, longest_s = self._spans
        if self.span_s > shortest_s >= retry_after_s:
            burst = self._minute.since(self._now - shortest_s - self._guard_s)
            if burst * self.unit <= self._told * shortest_s / MINUTE_S:
                return False
            self._respan(shortest_s)
            return True
        if self.span_s < retry_after_s <= longest_s:
            self._respan(longest_s)
        return False

    def _respan(self, span_s: float) -> None:
        scale = span_s / self.span_s
        self._others_told *= scale
        self._others_refused *= scale
        self.span_s = span_s
        held = _Log(span_s + self._guard_s)
        for entry in self._minute.entries:
            held.add(entry)
        held.age(self._now)
        self._held = held

    def _compare(self, counted: float, own: float) -> None:
        """The service's count of its minute so far is nearest to ours, of the last 60 s, when its
        minute ends."""
        if not self._estimated:
            return
        if own * self.unit >= LEARNED_FROM * self._told:
            self._peak = max(self._peak, counted / own)
        if self._now >= self._peak_until and self._peak:
            self._measure_by(min(1.0, max(LEAST_UNIT, self._peak * (1 + UNIT_MARGIN))))

    def _measure_by(self, unit: float) -> None:
        self.unit, self._peak = unit, 0.0
        self._peak_until = self._now + MINUTE_S

    def _of_span(self, per_minute: float) -> float:
        """The service's limit, in what is taken here."""
        return per_minute / self.unit * self.span_s / MINUTE_S

    def _others(self) -> float:
        """What others spend in a span."""
        age = self._now - self._refused_at
        # Held, then let go in as much time again: somebody else may have come to stay.
        fading = min(1.0, max(0.0, 2 - age / REFUSAL_HOLDS_S))
        return max(self._others_told, self._others_refused * fading)

    def _cap(self) -> float:
        """A tenth is always tried, whatever is believed of others."""
        if self._cap_now is None:
            left_by_others = self._of_span(self._told) - self._others()
            granted = self._of_span(self.granted)
            self._cap_now = max(min(granted, left_by_others), self.limit / 10)
        return self._cap_now * self.share

    def _rate(self) -> float:
        return self._cap() / self._held.span_s

    def _room_at(self, amount: float) -> float:
        if self._untouched:
            return self._now
        missing = min(self._held.total + amount - self._cap(), self._held.total)
        for entry in self._held.entries:
            if missing <= TINY:
                break
            missing -= entry.amount
            if missing <= TINY:
                return entry.at + self._held.span_s
        return self._now

    def _spent_before(self, now: float) -> list[Entry]:
        step_s, amount = self._held.span_s / START_STEPS, self.limit / START_STEPS
        assumed = [Entry(now - step_s * steps, amount) for steps in range(START_STEPS - 1, -1, -1)]
        for entry in assumed:
            self._held.add(entry)
        return assumed

    def _know(self) -> None:
        """Nothing need be assumed any more."""
        for entry in self._assumed:
            self._held.lose(entry, self._now)
            entry.amount = 0.0
        self._assumed.clear()

    def _age(self, now: float) -> None:
        if now <= self._now:
            return
        self._now = now
        self._held.age(now)
        self._minute.age(now)
        if self._others_refused:
            self._cap_now = None  # it fades
