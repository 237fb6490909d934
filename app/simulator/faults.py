"""Decides which call is hit by which fault."""

from collections.abc import Callable, Iterable
from random import Random

from app.simulator.config import Fault

OF_THE_PICTURE = frozenset({"content_filter", "output_filter", "refusal"})
"""Faults caused by the picture: they hit a share of pictures, not of calls."""

UNTOLD = frozenset({"timeout_408", "reset", "silence", "garbage", "content_filter"})
"""Billed as the answer would have been, which is the worst case: the service did its work. Source:
"HTTP Error response code and billing status" in Azure's "Plan to manage costs for Azure OpenAI"."""


class FaultSource:
    """One deployment's faults, until they are replaced."""

    def __init__(self, faults: Iterable[Fault], seed: str) -> None:
        self._random = Random(seed)  # noqa: S311 - it has to be repeatable
        self._faults = list(faults)
        self._left = [fault.next for fault in self._faults]

    def strike(self, picture: Callable[[], float]) -> Fault | None:
        """The fault that hits the next call. `picture` gives 0 to 1, the same for the same
        picture."""
        for place, fault in enumerate(self._faults):
            left = self._left[place]
            if left is not None:
                if left > 0:
                    self._left[place] = left - 1
                    return fault
            elif fault.share is not None:
                drawn = picture() if fault.kind in OF_THE_PICTURE else self._random.random()
                if drawn < fault.share:
                    return fault
        return None
