"""One quota for all processes, kept in Redis; while Redis is gone, each process has its share."""

import math
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from app.identifiers import new_id
from app.traffic.belief import MINUTE_S
from app.traffic.link import RedisLink
from app.traffic.quota import Amounts, Quota, Reservation
from app.traffic.window import Window
from app.usage import QuotaReport

SHORTEST_WAIT_S = 1e-6
"""Seconds: the resolution of Redis' clock."""


class SharedQuota(Quota):
    """Counts in Redis, with its clock. What is taken here is counted here as well: for the times
    when Redis is gone, and to tell what others take who do not share this Redis."""

    is_shared = True

    def __init__(self, windows: Mapping[str, Window], link: RedisLink, name: str) -> None:
        """All processes that use the same `name` share the quota."""
        super().__init__(windows)
        self.link = link
        prefix = f"{{classifier:quota:{name}}}"
        self._keys = [f"{prefix}:state"]
        for dimension in windows:
            self._keys += [f"{prefix}:{dimension}", f"{prefix}:{dimension}:minute"]
        self._alone: deque[Reservation] = deque()
        self._left: dict[str, float] = {}
        self._left_at = float("-inf")
        self._own: dict[str, float] = {}

    async def try_reserve(
        self, now: float, amounts: Amounts, *, burst_s: float
    ) -> Reservation | float:
        together = now >= self.link.settled_at
        self._take_share(1.0 if together else 1 / self.link.processes)
        if not together and (at := self.free_at(now, amounts, burst_s=burst_s)) > now:
            return at
        reservation_id = new_id("res")
        asked = self._asked(reservation_id, now, amounts, burst_s)
        reply = await self.link.reserve(self._keys, asked)
        if reply is None:
            return await self._reserve_alone(now, amounts, burst_s)
        self._alone.clear()
        counted = dict(zip(self.windows, reply["dimensions"], strict=True))
        self._left, self._left_at = {name: each["left"] for name, each in counted.items()}, now
        if not reply["granted"]:
            return now + max(SHORTEST_WAIT_S, float(reply["wait_s"]))
        reservation = self.reserve(now, amounts)
        reservation.own = self._own = {name: each["own"] for name, each in counted.items()}
        reservation.shared_id = reservation_id
        return reservation

    def give_back(self, reservation: Reservation) -> None:
        amounts = [entry.amount for entry in reservation.entries.values()]
        super().give_back(reservation)
        if reservation.shared_id is not None:
            self.link.give_back(self._keys, [reservation.shared_id, *amounts])

    def left(self, now: float, name: str) -> float:
        """As Redis said last, plus what was released since."""
        if not self.link.connected or name not in self._left:
            return super().left(now, name)
        window = self.windows[name]
        let_go = (now - self._left_at) * window.per_second(now)
        return min(window.cap(now), self._left[name] + let_go)

    def per_second(self, now: float, name: str) -> float:
        """An equal part, or more where the other processes leave it."""
        equal = super().per_second(now, name)
        if self.link.connected:
            equal /= self.link.processes
        return max(equal, self.windows[name].own_in_minute(now) / MINUTE_S)

    def learn(self, now: float, report: QuotaReport, reservation: Reservation) -> None:
        """What is left tells about others only where all that we took is known."""
        counted_at = self.link.settled_at + MINUTE_S
        if reservation.shared_id is None or reservation.at < counted_at:
            report = report.limits_only()
        super().learn(now, report, reservation)

    def _asked(
        self, reservation_id: str, now: float, amounts: Amounts, burst_s: float
    ) -> dict[str, Any]:
        """The arguments of the script."""
        return {
            "id": reservation_id,
            "burst_s": burst_s,
            "pause_s": max(0.0, self.paused_until - now),
            "dimensions": [
                {
                    "amount": amounts[name],
                    "cap": window.cap(now) / window.share,
                    "limit": window.limit(now),
                    "span_s": window.held_s,
                    "told": not window.assumes,
                    "alone": self._taken_alone(now, name),
                }
                for name, window in self.windows.items()
            ],
        }

    def _taken_alone(self, now: float, name: str) -> list[dict[str, float]]:
        """What was taken while Redis was gone, by its age in seconds."""
        taken: Counter[int] = Counter()
        for each in self._alone:
            taken[math.floor(now - each.at)] += math.ceil(each.entries[name].amount)
        return [{"age_s": age, "amount": amount} for age, amount in sorted(taken.items())]

    async def _reserve_alone(
        self, now: float, amounts: Amounts, burst_s: float
    ) -> Reservation | float:
        self._take_share(1 / self.link.processes)
        got = await super().try_reserve(now, amounts, burst_s=burst_s)
        if isinstance(got, Reservation):
            self._alone.append(got)
            while self._alone[0].at + MINUTE_S <= now:
                self._alone.popleft()
        return got

    def _times_own(self, now: float, name: str) -> float:
        if not self.link.connected:
            return float(self.link.processes)
        own = self.windows[name].own_in_minute(now)
        return max(1.0, self._own.get(name, 0.0) / own) if own else 1.0

    def _take_share(self, share: float) -> None:
        for window in self.windows.values():
            window.share = share
