"""Decides whose turn it is: weighted fair shares by what each was served, not by arrival."""

import heapq
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

SLACK = 64
"""So many outdated entries are not worth a rebuild."""


class Turns(Generic[K]):
    """Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) over keys.

    Each key's next turn starts where its last one ended, in units of cost over weight, and the
    earliest start is next. A key that was away starts at the present: it saves nothing up. A turn
    costs O(log n), and so does a key that comes.
    """

    def __init__(self, weight: Callable[[K], float] = lambda _: 1.0) -> None:
        self._weight = weight
        self._heap: list[tuple[float, int, K]] = []
        self._start: dict[K, float] = {}
        self._end: dict[K, float] = {}
        self._most_ends = SLACK
        self._present = 0.0
        self._count = 0

    def __len__(self) -> int:
        return len(self._start)

    def come(self, key: K) -> None:
        """`key` has work from now on, if it had none."""
        if key not in self._start:
            self._push(key, max(self._present, self._end.pop(key, 0.0)))

    def next(self) -> K | None:
        """Whose turn it is; None when nobody has work."""
        while self._heap:
            start, _, key = self._heap[0]
            if self._start.get(key) == start:
                return key
            heapq.heappop(self._heap)
        return None

    def in_turn(self) -> list[K]:
        """All keys that have work, in the order of their turns. O(n log n)."""
        live = (key for start, _, key in sorted(self._heap) if self._start.get(key) == start)
        return list(dict.fromkeys(live))

    def served(self, key: K, cost: float) -> None:
        """`key`, which has work, was given `cost`."""
        start = self._start[key]
        self._present = max(self._present, start)
        self._push(key, start + cost / self._weight(key))

    def go(self, key: K) -> None:
        """`key` has no more work for now."""
        end = self._start.pop(key)
        if end > self._present:
            self._end[key] = end
        if not self._start:
            self._present = max(self._present, end)
        if len(self._end) > self._most_ends:
            self._end = {key: end for key, end in self._end.items() if end > self._present}
            self._most_ends = 2 * len(self._end) + SLACK

    def _push(self, key: K, start: float) -> None:
        self._start[key] = start
        self._count += 1
        heapq.heappush(self._heap, (start, self._count, key))
        if len(self._heap) > 2 * len(self._start) + SLACK:
            # Keys that went without a turn are still in the heap.
            self._heap = [each for each in self._heap if self._start.get(each[2]) == each[0]]
            heapq.heapify(self._heap)
