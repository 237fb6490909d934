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
    def cost(self) -> float:
        """What it counts for among callers: tokens, else requests."""
        amounts = next(iter(self.amounts.values()))
        return amounts.get("tokens") or amounts["requests"]


class WaitingQueue:
    """Lanes share by weight, callers within a lane equally, both by what they were given; each
    caller's own calls go in order. Adding, removing and finding the next cost O(log n)."""

    def __init__(self, *, batch_share: float) -> None:
        """`batch_share` of what there is goes to batches when both lanes have work."""
        shares: dict[Lane, float] = {"interactive": 1 - batch_share, "batch": batch_share}
        self._lanes: Turns[Lane] = Turns(shares.__getitem__)
        self._callers: dict[Lane, Turns[str]] = {lane: Turns() for lane in shares}
        self._waiting: dict[tuple[Lane, str], OrderedDict[Waiter, None]] = {}
        self._deadlines: list[tuple[float, int, Waiter]] = []
        self._costs: dict[Lane | tuple[Lane, str], float] = dict.fromkeys(shares, 0.0)
        self._size = self._count = 0

    def __len__(self) -> int:
        return self._size

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
        self._costs[waiter.lane] += waiter.cost
        self._costs[key] = self._costs.get(key, 0.0) + waiter.cost

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
        self._costs[waiter.lane] -= waiter.cost
        self._costs[key] -= waiter.cost
        if not waiting:
            del self._waiting[key], self._costs[key]
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

    def cost_before(self, lane: Lane, caller: str) -> float:
        """What is served before a call that comes now, about: its caller's turns among the others',
        and all that the other lane has a right to meanwhile is left out."""
        callers = self._callers[lane]
        own = self._costs.get((lane, caller), 0.0)
        sharing = len(callers) + ((lane, caller) not in self._costs)
        return min(self._costs[lane], own * sharing)

    def _waits(self, waiter: Waiter) -> bool:
        return waiter in self._waiting.get((waiter.lane, waiter.caller), ())
