"""Finds ratios that are worse or better than the committed ones, or are no longer measured."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.kept import Ratio

WORSE, FAR_WORSE = 0.15, 0.5
"""A ratio that is worse by more than the first is reported; one that is steady and worse by more
than the second fails the check."""


@dataclass(frozen=True)
class Change:
    """A ratio that differs from the committed one.

    Attributes:
        now: None: it is no longer measured.
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

    @property
    def fails(self) -> bool:
        return self.was.is_steady and self.worse_by > FAR_WORSE

    def __str__(self) -> str:
        if self.now is None:
            return f"gone: {self.name}: nothing measures it any more"
        kind = "regression" if self.is_regression else "improvement"
        return (
            f"{kind}: {self.name}: {self.now:.3g} times what is beside it, "
            f"committed is {self.was.bound:.3g} ({self.was.better} is better)"
        )


def changes(was: Mapping[str, Ratio], now: Mapping[str, float]) -> Iterator[Change]:
    """Ratios that are gone, or worse or better by more than WORSE."""
    for name, each in was.items():
        change = Change(name, each, now.get(name))
        is_better = each.is_steady and change.worse_by < -WORSE
        if change.now is None or change.is_regression or is_better:
            yield change
