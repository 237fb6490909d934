"""Whether confidence matches accuracy: answers binned by confidence, with the share that is
right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

BINS = 15


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers whose confidence is above `low` and at most `high`; there is at least one.

    Attributes:
        n: their number, or total weight.
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
    """`confidence` (n,) 0 to 1, `right` (n,) true or false, `weights` (n,) above 0, None: equal;
    bins of equal width, without empty ones (Guo et al., On Calibration of Modern Neural Networks,
    2017)."""
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
    """The expected calibration error: the gap between confidence and accuracy of each bin, weighted
    by its answers (Naeini et al., 2015); 0 for no answers."""
    n = sum(each.n for each in bins)
    return sum(each.n * abs(each.confidence - each.accuracy) for each in bins) / (n or 1)
