"""Formulas of the metrics."""

from collections.abc import Iterable, Sequence
from decimal import ROUND_FLOOR, Decimal
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from app.evaluation.report import CurvePoint, Interval, RiskCoverage
from app.tally import Z_95, wilson

MAX_POINTS = 100
FEWEST_DIGITS, ALL_DIGITS = 3, 17
"""Decimal places of a threshold."""


def interval(right: int, n: int) -> Interval:
    """Wilson's interval of a proportion; 0 to 1 for no trials."""
    low, high = wilson(right, n) or (0.0, 1.0)
    return Interval(low=low, high=high)


class Ranking:
    """Answers by confidence, highest first.

    Attributes:
        levels: the distinct confidences, descending.
        n: how many answers have at least each of them.
        right: how many of these are right.
    """

    def __init__(self, confidence: Sequence[float], right: Sequence[bool]) -> None:
        said, hit = np.asarray(confidence, float), np.asarray(right, int)
        levels, place = np.unique(-said, return_inverse=True)
        self.levels: NDArray[np.float64] = -levels
        self._counts = np.bincount(place, minlength=levels.size)
        self._hits = np.bincount(place, hit, minlength=levels.size)
        self.n: NDArray[np.int64] = np.cumsum(self._counts)
        self.right: NDArray[np.int64] = np.cumsum(self._hits).round().astype(np.int64)

    def risk_coverage(self, total: int) -> RiskCoverage:
        """For `total` pictures (El-Yaniv and Wiener, 2010), those without an answer here being
        wrong and least confident. No threshold separates equally confident answers: among them,
        errors grow evenly."""
        points = [
            CurvePoint(
                threshold=self.threshold(place),
                coverage=float(self.n[place] / total),
                risk=float(1 - self.right[place] / self.n[place]),
            )
            for place in _spread(self.n)
        ]
        return RiskCoverage(area=self._area(total) if total else 0.0, points=points)

    def lowest(self, accuracy: float) -> int | None:
        """The index of the lowest level at which at least this share is right."""
        reached = np.flatnonzero(self.right >= accuracy * self.n - 1e-9)
        return int(reached[-1]) if reached.size else None

    def at(self, threshold: float) -> tuple[int, int]:
        """How many reach it, and how many of these are right."""
        place = int(np.searchsorted(-self.levels, -threshold, side="right")) - 1
        return (int(self.n[place]), int(self.right[place])) if place >= 0 else (0, 0)

    def threshold(self, place: int) -> float:
        """A threshold of few digits, at least three, that accepts exactly what the level at `place`
        does: at most that level, and above the next one."""
        level = float(self.levels[place])
        below = float(self.levels[place + 1]) if place + 1 < self.levels.size else -1.0
        for digits in range(FEWEST_DIGITS, ALL_DIGITS):
            step = Decimal(1).scaleb(-digits)
            rounded = float(Decimal(repr(level)).quantize(step, ROUND_FLOOR))
            if rounded > below:
                return rounded
        return level

    def _area(self, total: int) -> float:
        errors_each = np.ones(total)
        known = int(self.n[-1]) if self.n.size else 0
        errors_each[:known] = np.repeat(1 - self._hits / self._counts, self._counts)
        return float(np.mean(np.cumsum(errors_each) / np.arange(1, total + 1)))


def _spread(counts: NDArray[np.int64]) -> list[int]:
    """Indices of at most MAX_POINTS of ascending counts, evenly spaced, including the first and
    last."""
    if counts.size <= MAX_POINTS:
        return list(range(counts.size))
    wanted = np.linspace(counts[0], counts[-1], MAX_POINTS)
    places: list[int] = np.unique(np.searchsorted(counts, wanted)).tolist()
    return places


def f1(precision: float | None, recall: float | None) -> float | None:
    """Their harmonic mean; 0 when the class was never answered, None when it has no pictures."""
    if recall is None:
        return None
    return 2 * precision * recall / (precision + recall) if precision and recall else 0.0


def mcnemar(better: int, worse: int) -> float:
    """Exact two-sided p-value of so uneven a split of the pictures that only one of two runs got
    right (McNemar, 1947; binomial with 1/2); 1 where there are none."""
    n, fewer = better + worse, min(better, worse)
    ways = once = 1
    for k in range(fewer):
        once = once * (n - k) // (k + 1)
        ways += once
    return min(1.0, 2 * ways / (1 << n))


def paired_interval(better: int, worse: int, n: int) -> Interval:
    """Interval of the difference between two accuracies on the same `n` pictures, -1 to 1 (Agresti
    and Min, Simple improved confidence intervals for comparing matched proportions, 2005)."""
    # Adds half a picture to each of the four cells.
    up, down, total = better + 0.5, worse + 0.5, n + 2
    middle = (up - down) / total
    half = Z_95 * sqrt(up + down - (up - down) ** 2 / total) / total
    return Interval(low=max(-1.0, middle - half), high=min(1.0, middle + half))


def per_1000(values: Iterable[float | None]) -> float | None:
    """None where one of them is not known."""
    found = list(values)
    known = [each for each in found if each is not None]
    return 1000 * sum(known) / len(known) if known and len(known) == len(found) else None
