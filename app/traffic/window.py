"""One dimension of a quota: what is spent in any span of seconds, and at which pace."""

from collections import deque
from dataclasses import dataclass

from app.traffic.belief import MINUTE_S, Belief

START_STEPS = 20
"""Steps in which the amount that may have been spent before the start is released."""

LEAST_DEBT_S, DEBT_SHARE = 2.0, 0.1
"""While there is room, a large amount holds up those after it for at most so many seconds, or this
share of the span, whichever is longer: the pace is meant to smooth small amounts."""

TINY = 1e-6
"""Precision of sums of amounts."""

MIN_ELAPSED = 0.1
"""Share of a span that must have passed before a refusal tells how fast others spend."""


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
    """At most `per_minute * span_s / 60` in any `span_s` seconds, counted where the provider does.

    The provider sees a call somewhat later than it was taken here, with a delay that varies: so an
    amount is held for `span_s + guard_s`. It is held whatever becomes of the call, as Azure counts
    calls at their arrival, refused ones too.

    Others may spend from the same quota: what they are believed to spend is left to them. Times are
    seconds of any clock; if it goes back, it counts as standing still.
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
        """`shortest_s`: the provider may also enforce the limit over as few seconds, which its
        refusals show. `estimated`: amounts are estimates. The span before the start counts as
        spent, except for the first amount: an earlier process may have spent it."""
        self.belief = Belief(per_minute, estimated=estimated, now=now)
        self.share = 1.0
        """Share of the whole that this process may take while it can't count together with
        others."""
        self.span_s = span_s
        self._spans = (span_s if shortest_s is None else shortest_s, span_s)
        self._guard_s = guard_s
        self._now = now
        self._held = _Log(span_s + guard_s)
        self._minute = _Log(MINUTE_S)
        self._next = now
        self._untouched = True
        self._assumed = self._spent_before(now)

    @property
    def assumes(self) -> bool:
        """Whether the provider has not told yet what is left of the quota."""
        return bool(self._assumed)

    @property
    def held_s(self) -> float:
        """How long an amount is held, in seconds."""
        return self._held.span_s

    def limit(self, now: float) -> float:
        """What a span holds when there are no others."""
        self._age(now)
        return self._of_span(self.belief.limit(self._now))

    def cap(self, now: float) -> float:
        """What a span holds, less what others are believed to spend."""
        self._age(now)
        return self._of_span(self.belief.left_by_others(self._now)) * self.share

    def per_second(self, now: float) -> float:
        """What is let through per second in the long run."""
        return self.cap(now) / self._held.span_s

    def left(self, now: float) -> float:
        """What may be taken right now."""
        return max(0.0, self.cap(now) - self._held.total)

    def free_at(self, now: float, amount: float, *, burst_s: float) -> float:
        """When `amount` fits, if nothing else is taken before; `now` or earlier: at once.

        At most the limit of `burst_s` seconds is let through at once. An amount above the limit
        fits into an empty window, at the pace that keeps the limit in the long run.
        """
        if amount > self.limit(now):
            burst_s = 0.0
        return max(self._next - burst_s, self._room_at(amount))

    def take(self, now: float, amount: float) -> Entry:
        """Spend it, whether it fits or not."""
        self._age(now)
        self._untouched = False
        entry = Entry(self._now, amount)
        self._held.add(entry)
        self._minute.add(entry)
        paced = max(self._next, self._now) + amount / self.per_second(now)
        # There is never room for more than the limit: the pace alone keeps the limit then.
        fills_s = amount / self.limit(now) * self.held_s
        most_s = max(LEAST_DEBT_S, DEBT_SHARE * self.held_s)
        self._next = min(paced, self._now + (most_s if fills_s <= self.held_s else fills_s))
        return entry

    def give_back(self, entry: Entry) -> None:
        """Give back what was taken for a call that was never made."""
        for log in (self._held, self._minute):
            log.lose(entry, self._now)
        self._next -= entry.amount / self.per_second(self._now)
        entry.amount = 0.0

    def own_in_minute(self, now: float) -> float:
        """What was taken in the last minute."""
        self._age(now)
        return self._minute.total

    def report(
        self, now: float, *, limit: float | None, remaining: float | None, own: float
    ) -> None:
        """Take in what the provider said about a minute, with its answer to the call at which `own`
        had been taken here in a minute."""
        self._age(now)
        if self.belief.report(self._now, limit=limit, remaining=remaining, own=own):
            self._forget_assumed()

    def refused(self, now: float, *, retry_after_s: float | None, times_own: float = 1.0) -> None:
        """The provider found no room where we did, so there are other users. `retry_after_s` tells
        when its window ends, and so how fast it filled. `times_own` is what all who count together
        took, ourselves included, as a multiple of what was taken here."""
        self._age(now)
        self._forget_assumed()
        self.belief.refused(self._now)
        if retry_after_s is None or retry_after_s < 0:
            return
        span_s = self._span_that_explains(retry_after_s)
        if span_s < self.span_s:
            self._respan(span_s)
            return
        if span_s > self.span_s:
            self._respan(span_s)
        elapsed_s = self.span_s - retry_after_s
        if elapsed_s >= self.span_s * MIN_ELAPSED:
            own = times_own * self._minute.since(self._now - elapsed_s)
            self.belief.others_filled(self._now, own=own, elapsed_s=elapsed_s, span_s=self.span_s)

    def _span_that_explains(self, retry_after_s: float) -> float:
        """The shorter span, when a burst of our own is too much for it; the longer one, when the
        time to wait is longer than the shorter span."""
        shortest_s, longest_s = self._spans
        if self.span_s > shortest_s >= retry_after_s:
            burst = self._minute.since(self._now - shortest_s - self._guard_s)
            most = self.belief.per_minute(self._now) * shortest_s / MINUTE_S
            return shortest_s if burst * self.belief.unit > most else self.span_s
        return longest_s if self.span_s < retry_after_s <= longest_s else self.span_s

    def _respan(self, span_s: float) -> None:
        self.span_s = span_s
        held = _Log(span_s + self._guard_s)
        for entry in self._minute.entries:
            held.add(entry)
        held.age(self._now)
        self._held = held

    def _of_span(self, per_minute: float) -> float:
        return per_minute * self.span_s / MINUTE_S

    def _room_at(self, amount: float) -> float:
        if self._untouched:
            return self._now
        missing = min(self._held.total + amount - self.cap(self._now), self._held.total)
        for entry in self._held.entries:
            if missing <= TINY:
                break
            missing -= entry.amount
            if missing <= TINY:
                return entry.at + self._held.span_s
        return self._now

    def _spent_before(self, now: float) -> list[Entry]:
        step_s, amount = self._held.span_s / START_STEPS, self.limit(now) / START_STEPS
        assumed = [Entry(now - step_s * steps, amount) for steps in range(START_STEPS - 1, -1, -1)]
        for entry in assumed:
            self._held.add(entry)
        return assumed

    def _forget_assumed(self) -> None:
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
