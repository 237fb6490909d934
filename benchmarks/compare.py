"""What is worse than the committed ratios, what is better, and what nothing measures any more."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.kept import Ratio

WORSE, FAR_WORSE = 0.15, 0.5
"""From which on a ratio is told, and the check fails."""


@dataclass(frozen=True)
class Change:
    """A ratio that is not what it was.

    Attributes:
        now: None: nothing measures it any more.
    """

    name: str
    was: Ratio
    now: float | None

    @property
    def worse_by(self) -> float:
        return 0.0 if self.now is None else self.was.worse_by(self.now)

    @property
    def is_regression(self) -> bool:
        return self.worse_by > WORSE

    def __str__(self) -> str:
        if self.now is None:
            return f"gone: {self.name}: nothing measures it any more"
        kind = "regression" if self.is_regression else "improvement"
        return (
            f"{kind}: {self.name}: {self.now:.3g} times what is beside it, "
            f"committed are {self.was.middle:.3g} ({self.was.better} is better)"
        )


def changes(was: Mapping[str, Ratio], now: Mapping[str, float]) -> Iterator[Change]:
    """What is gone, and by more than WORSE worse or better."""
    for name, each in was.items():
        change = Change(name, each, now.get(name))
        if change.now is None or abs(change.worse_by) > WORSE:
            yield change
