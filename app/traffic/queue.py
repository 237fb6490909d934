"""Who waits for leave to call, and who of them is next."""

import asyncio
import heapq
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from app.traffic.deployment import Deployment, Ticket
from app.traffic.quota import Amounts
from app.traffic.turns import Turns

Lane = Literal["interactive", "batch"]
LANES: tuple[Lane, ...] = ("interactive", "batch")

BURST_S: Mapping[Lane, float] = {"interactive": 1.0, "batch": 0.5}
"""Seconds' worth of quota that goes through at once. Bulk work goes evenly, and leaves room for
those who wait for their answer."""

INFINITE = float("inf")


@dataclass(eq=False, slots=True)
class Waiter:
    """A call that is wanted.

    Attributes:
        amounts: what it takes, by deployment that may be asked.
        deadline: the event loop's time at which leave is of no use any more.
    """

    caller: str
    lane: Lane
    amounts: Mapping[Deployment, Amounts]
    deadline: float
    leave: "asyncio.Future[Ticket]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def typical(self) -> Amounts:
        """What it takes of the deployment named first: of the others about as much."""
        return next(iter(self.amounts.values()))

    @property
    def cost(self) -> float:
        """What it counts for among callers: tokens, else requests."""
        return cost(self.typical)


def cost(amounts: Amounts) -> float:
    return amounts.get("tokens") or amounts.get("requests", 0.0)


class WaitingQueue:
    """Lanes share by weight, callers within a lane equally, both by what they were given; each
    caller's own calls go in order. Adding, removing and finding the next cost O(log n)."""

    def __init__(self, *, batch_share: float) -> None:
        """`batch_share` of what there is goes to batches when both lanes have work."""
        self._shares: dict[Lane, float] = {"interactive": 1 - batch_share, "batch": batch_share}
        self._lanes: Turns[Lane] = Turns(self._shares.__getitem__)
        self._callers: dict[Lane, Turns[str]] = {lane: Turns() for lane in LANES}
        self._waiting: dict[tuple[Lane, str], OrderedDict[Waiter, None]] = {}
        self._deadlines: list[tuple[float, int, Waiter]] = []
        self._wanted: dict[tuple[Lane, str], dict[str, float]] = {}
        self._size = self._count = 0

    def __len__(self) -> int:
        return self._size

    def newest_of_longest(self) -> Waiter | None:
        """Of the caller with the most waiting calls, the one that came last."""
        longest = max(self._waiting.values(), key=len, default=None)
        return None if longest is None else next(reversed(longest))

    def waiting_for(self, waiter: Waiter) -> int:
        """How many calls of the same caller and lane wait."""
        return len(self._waiting.get((waiter.lane, waiter.caller), ()))

    def length(self, lane: Lane) -> int:
        return sum(len(each) for (of, _), each in self._waiting.items() if of == lane)

    def add(self, waiter: Waiter) -> None:
        key = (waiter.lane, waiter.caller)
        self._waiting.setdefault(key, OrderedDict())[waiter] = None
        self._callers[waiter.lane].come(waiter.caller)
        self._lanes.come(waiter.lane)
        self._count += 1
        heapq.heappush(self._deadlines, (waiter.deadline, self._count, waiter))
        self._size += 1
        _add(self._wanted.setdefault(key, {}), waiter.typical)

    def next(self) -> Waiter | None:
        """Whose turn it is; None when nobody waits."""
        lane = self._lanes.next()
        caller = None if lane is None else self._callers[lane].next()
        if lane is None or caller is None:
            return None
        return next(iter(self._waiting[lane, caller]))

    def serve(self, waiter: Waiter) -> None:
        """It was given leave, and counts for its caller and its lane."""
        self._callers[waiter.lane].served(waiter.caller, waiter.cost)
        self._lanes.served(waiter.lane, waiter.cost)
        self.remove(waiter)

    def remove(self, waiter: Waiter) -> None:
        """It waits no longer; nothing happens if it did not."""
        key = (waiter.lane, waiter.caller)
        waiting = self._waiting.get(key)
        if waiting is None or waiter not in waiting:
            return
        del waiting[waiter]
        self._size -= 1
        _add(self._wanted[key], waiter.typical, times=-1)
        if not waiting:
            del self._waiting[key], self._wanted[key]
            self._callers[waiter.lane].go(waiter.caller)
            if not len(self._callers[waiter.lane]):
                self._lanes.go(waiter.lane)
        if len(self._deadlines) > 2 * self._size + 64:
            self._deadlines = [each for each in self._deadlines if self._waits(each[2])]
            heapq.heapify(self._deadlines)

    def earliest_deadline(self) -> Waiter | None:
        """Who gives up first."""
        while self._deadlines:
            waiter = self._deadlines[0][2]
            if self._waits(waiter):
                return waiter
            heapq.heappop(self._deadlines)
        return None

    def ahead(self, waiter: Waiter, *, of_all: bool = False) -> Amounts:
        """What is let through before `waiter`, which is not in the queue, if nobody comes after it:
        its own caller's calls, of each other caller as much (`of_all`: all that wait), and of the
        other lane what that has a right to meanwhile. Costs O(callers)."""
        ahead = dict(self._wanted.get((waiter.lane, waiter.caller), {}))
        turn = INFINITE if of_all else waiter.cost + cost(ahead)
        other_lane: dict[str, float] = {}
        for (lane, caller), wanted in self._wanted.items():
            if lane != waiter.lane:
                _add(other_lane, wanted)
            elif caller != waiter.caller:
                _add(ahead, wanted, times=_part(wanted, turn))
        share = self._shares[waiter.lane]
        right = (waiter.cost + cost(ahead)) * (1 - share) / share
        _add(ahead, other_lane, times=_part(other_lane, right))
        return ahead

    def _waits(self, waiter: Waiter) -> bool:
        return waiter in self._waiting.get((waiter.lane, waiter.caller), ())


def _add(total: dict[str, float], amounts: Amounts, *, times: float = 1.0) -> None:
    for name, amount in amounts.items():
        total[name] = total.get(name, 0.0) + times * amount


def _part(amounts: Amounts, most: float) -> float:
    """Of `amounts`, what costs `most`."""
    whole = cost(amounts)
    return min(1.0, most / whole) if whole else 1.0
