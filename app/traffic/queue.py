"""The calls that wait for admission, and which of them is next."""

import asyncio
import heapq
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Literal

from app.traffic.deployment import Deployment, Ticket
from app.traffic.quota import Amounts
from app.traffic.turns import Turns

Lane = Literal["interactive", "batch"]
LANES: tuple[Lane, ...] = ("interactive", "batch")

BURST_S: Mapping[Lane, float] = {"interactive": 1.0, "batch": 0.5}
"""Seconds' worth of quota that goes through at once. Bulk work goes evenly, and leaves room for
clients that wait for their answer."""

INFINITE = float("inf")

Ways = frozenset[Deployment]
"""The deployments that a call may go to."""

NOWHERE: Ways = frozenset()


@dataclass(eq=False, slots=True)
class Waiter:
    """A call that waits for admission.

    Attributes:
        amounts: what it takes, by deployment that may be asked.
        deadline: the event loop's time at which admission is of no use any more.
        ways: the deployments that may be asked.
        number: its place in the queue, by arrival.
    """

    caller: str
    lane: Lane
    amounts: Mapping[Deployment, Amounts]
    deadline: float
    leave: "asyncio.Future[Ticket]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    ways: Ways = field(init=False)
    number: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.ways = frozenset(self.amounts)

    @property
    def typical(self) -> Amounts:
        """What it takes of the deployment named first; of the others it takes about as much."""
        return next(iter(self.amounts.values()))

    @property
    def cost(self) -> float:
        """What it counts for when callers are compared: tokens, else requests."""
        return cost(self.typical)


def cost(amounts: Amounts) -> float:
    return amounts.get("tokens") or amounts.get("requests", 0.0)


class _Line:
    """One caller's calls in a lane, in order; grouped by where they may go, with what each group
    wants."""

    def __init__(self) -> None:
        self._waiting: dict[Ways, OrderedDict[Waiter, None]] = {}
        self.wanted: dict[Ways, dict[str, float]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __contains__(self, waiter: Waiter) -> bool:
        return waiter in self._waiting.get(waiter.ways, ())

    def add(self, waiter: Waiter) -> None:
        self._waiting.setdefault(waiter.ways, OrderedDict())[waiter] = None
        _add(self.wanted.setdefault(waiter.ways, {}), waiter.typical)

    def remove(self, waiter: Waiter) -> None:
        waiting = self._waiting[waiter.ways]
        del waiting[waiter]
        _add(self.wanted[waiter.ways], waiter.typical, times=-1)
        if not waiting:
            del self._waiting[waiter.ways], self.wanted[waiter.ways]

    def first(self, held: Ways) -> Waiter | None:
        """The first call that may go to a deployment that is not `held`."""
        first = (next(iter(each)) for ways, each in self._waiting.items() if not ways <= held)
        return min(first, key=_number, default=None)

    def newest(self) -> Waiter:
        return max((next(reversed(each)) for each in self._waiting.values()), key=_number)


class WaitingQueue:
    """Lanes share by weight, callers within a lane equally, both by what they were given; each
    caller's own calls go in order, except for those that are skipped while there is no room where
    they may go. Adding, removing and finding the next cost O(log n), skipping O(callers)."""

    def __init__(self, *, batch_share: float) -> None:
        """`batch_share` of the quota goes to batches when both lanes have work."""
        self._shares: dict[Lane, float] = {"interactive": 1 - batch_share, "batch": batch_share}
        self._lanes: Turns[Lane] = Turns(self._shares.__getitem__)
        self._callers: dict[Lane, Turns[str]] = {lane: Turns() for lane in LANES}
        self._waiting: dict[tuple[Lane, str], _Line] = {}
        self._deadlines: list[tuple[float, int, Waiter]] = []
        self._size = self._count = 0

    def __len__(self) -> int:
        return self._size

    def newest_of_longest(self) -> Waiter | None:
        """The last call of the caller with the most waiting calls."""
        longest = max(self._waiting.values(), key=len, default=None)
        return None if longest is None else longest.newest()

    def waiting_for(self, waiter: Waiter) -> int:
        """How many calls of the same caller and lane wait."""
        return len(self._waiting.get((waiter.lane, waiter.caller), ()))

    def length(self, lane: Lane) -> int:
        return sum(len(each) for (of, _), each in self._waiting.items() if of == lane)

    def add(self, waiter: Waiter) -> None:
        key = (waiter.lane, waiter.caller)
        self._count += 1
        waiter.number = self._count
        self._waiting.setdefault(key, _Line()).add(waiter)
        self._callers[waiter.lane].come(waiter.caller)
        self._lanes.come(waiter.lane)
        heapq.heappush(self._deadlines, (waiter.deadline, self._count, waiter))
        self._size += 1

    def next(self, held: Ways = NOWHERE) -> Waiter | None:
        """The call whose turn it is, of those that may go to a deployment that is not `held` for
        others; None when there is none."""
        if held:
            lines = (self._waiting[each] for each in self._in_turn())
            return next((first for line in lines if (first := line.first(held))), None)
        lane = self._lanes.next()
        caller = None if lane is None else self._callers[lane].next()
        if lane is None or caller is None:
            return None
        return self._waiting[lane, caller].first(NOWHERE)

    def serve(self, waiter: Waiter) -> None:
        """The call is admitted, and counts for its caller and its lane."""
        self._callers[waiter.lane].served(waiter.caller, waiter.cost)
        self._lanes.served(waiter.lane, waiter.cost)
        self.remove(waiter)

    def remove(self, waiter: Waiter) -> None:
        """The call no longer waits; does nothing if it did not wait."""
        key = (waiter.lane, waiter.caller)
        line = self._waiting.get(key)
        if line is None or waiter not in line:
            return
        line.remove(waiter)
        self._size -= 1
        if not len(line):
            del self._waiting[key]
            self._callers[waiter.lane].go(waiter.caller)
            if not len(self._callers[waiter.lane]):
                self._lanes.go(waiter.lane)
        if len(self._deadlines) > 2 * self._size + 64:
            self._deadlines = [each for each in self._deadlines if self._waits(each[2])]
            heapq.heapify(self._deadlines)

    def earliest_deadline(self) -> Waiter | None:
        """The call that gives up first."""
        while self._deadlines:
            waiter = self._deadlines[0][2]
            if self._waits(waiter):
                return waiter
            heapq.heappop(self._deadlines)
        return None

    def ahead(self, waiter: Waiter, ways: Set[Deployment], *, of_all: bool = False) -> Amounts:
        """What is let through before `waiter`, which is not in the queue, if no call comes after
        it; only calls count that may go to no deployment outside `ways`. These are its own caller's
        calls, as much of each other caller (`of_all`: all that wait), and what the other lane has a
        right to meanwhile. Costs O(callers)."""
        all_wanted = {key: _wanted(line, ways) for key, line in self._waiting.items()}
        ahead = all_wanted.get((waiter.lane, waiter.caller), {})
        turn = INFINITE if of_all else waiter.cost + cost(ahead)
        other_lane: dict[str, float] = {}
        for (lane, caller), wanted in all_wanted.items():
            if lane != waiter.lane:
                _add(other_lane, wanted)
            elif caller != waiter.caller:
                _add(ahead, wanted, times=_part(wanted, turn))
        share = self._shares[waiter.lane]
        right = (waiter.cost + cost(ahead)) * (1 - share) / share
        _add(ahead, other_lane, times=_part(other_lane, right))
        return ahead

    def _in_turn(self) -> Iterator[tuple[Lane, str]]:
        for lane in self._lanes.in_turn():
            for caller in self._callers[lane].in_turn():
                yield lane, caller

    def _waits(self, waiter: Waiter) -> bool:
        return waiter in self._waiting.get((waiter.lane, waiter.caller), ())


def _number(waiter: Waiter) -> int:
    return waiter.number


def _wanted(line: _Line, ways: Set[Deployment]) -> dict[str, float]:
    total: dict[str, float] = {}
    for each, wanted in line.wanted.items():
        if each <= ways:
            _add(total, wanted)
    return total


def _add(total: dict[str, float], amounts: Amounts, *, times: float = 1.0) -> None:
    for name, amount in amounts.items():
        total[name] = total.get(name, 0.0) + times * amount


def _part(amounts: Amounts, most: float) -> float:
    """The share of `amounts` that costs `most`, 1 at most."""
    whole = cost(amounts)
    return min(1.0, most / whole) if whole else 1.0
