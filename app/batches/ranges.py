"""Estimates for many, from what is known of a few."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Self

CONFIDENCE_95 = 1.96
"""Standard errors on either side of a mean that hold the true one 95 times in 100."""


@dataclass(frozen=True, slots=True)
class Range:
    """The range of an amount that is not negative. Sums and products combine the ends, as if all
    amounts came out high or low at once: rather too wide than too narrow."""

    low: float
    expected: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Self:
        return cls(value, value, value)

    @classmethod
    def about(cls, value: float, off: float) -> Self:
        """`off` is the share by which the value may be wrong."""
        return cls(value * (1 - off), value, value * (1 + off))

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def __mul__(self, other: "Range") -> "Range":
        return Range(self.low * other.low, self.expected * other.expected, self.high * other.high)


def total(sample: Sequence[float], of: int) -> Range:
    """The total of `of` items, from an even sample of them: the sample's mean times `of`, with its
    95 % interval; never less than the total of the sample itself.

        of * (mean +- 1.96 * s * sqrt(1/n - 1/of))

    Source: Cochran, Sampling Techniques (1977), chapter 2: simple random sampling of `n` without
    replacement. If the sample is the whole, there is nothing to guess.
    """
    if not sample:
        return Range.exactly(0)
    count = len(sample)
    off = CONFIDENCE_95 * _deviation(sample) * math.sqrt(max(0.0, 1 / count - 1 / of))
    mean = fmean(sample)
    return Range(max(sum(sample), of * (mean - off)), of * mean, of * (mean + off))


def mean_of_next(earlier: Sequence[float], count: float) -> Range:
    """The mean of the next `count` values, from `earlier` ones; `count` is at least 1.

        mean +- 1.96 * s * sqrt(1/n + 1/count)

    Source: Hahn and Meeker, Statistical Intervals (1991), chapter 4: prediction interval for the
    mean of a future sample.
    """
    mean = fmean(earlier)
    off = CONFIDENCE_95 * _deviation(earlier) * math.sqrt(1 / len(earlier) + 1 / max(1.0, count))
    return Range(max(0.0, mean - off), mean, mean + off)


def _deviation(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0
