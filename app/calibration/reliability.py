"""Whether confidence means what it says: answers binned by it, and how many of them are right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

BINS = 15


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers whose confidence is above `low` and at most `high`; there is at least one.

    Attributes:
        n: how many, or what they weigh.
        confidence: mean.
        accuracy: share that is right.
    """

    low: float
    high: float
    n: float
    confidence: float
    accuracy: float


def reliability(
    confidence: ArrayLike, right: ArrayLike, weights: ArrayLike | None = None, bins: int = BINS
) -> list[Bin]:
    """`confidence` (n,) 0 to 1, `right` (n,) true or false, `weights` (n,) above 0, None: all the
    same; bins of equal width, empty ones left out (Guo et al., On Calibration of Modern Neural
    Networks, 2017)."""
    said, hit = np.asarray(confidence, float), np.asarray(right, float)
    weigh = np.ones_like(said) if weights is None else np.asarray(weights, float)
    place = np.clip(np.ceil(said * bins) - 1, 0, bins - 1).astype(int)
    counts = np.bincount(place, weigh, minlength=bins)
    sums = [np.bincount(place, each * weigh, minlength=bins) for each in (said, hit)]
    return [
        Bin(
            each / bins,
            (each + 1) / bins,
            float(counts[each]),
            float(sums[0][each] / counts[each]),
            float(sums[1][each] / counts[each]),
        )
        for each in np.flatnonzero(counts).tolist()
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error: how far confidence and accuracy of a bin are apart, weighed
    by its answers (Naeini et al., 2015); 0 for no answers."""
    n = sum(each.n for each in bins)
    return sum(each.n * abs(each.confidence - each.accuracy) for each in bins) / (n or 1)
