"""Makes a distribution flatter or steeper, without changing the order of its classes.

The logarithms of its classes' probabilities are multiplied by a sharpness, which is one over the
temperature of Guo et al. (On Calibration of Modern Neural Networks, 2017), and the result is
normalized to sum to 1. Written for one distribution at a time, as part of a request: for twenty
classes, the overhead of numpy's calls would exceed their work.
"""

from collections.abc import Iterable, Sequence
from math import exp, log

FLOOR = 1e-6
"""Lower bound on a class's probability: 0 and 1 could not be tempered."""

LEAST, MOST = 0.05, 20.0
"""Bounds of sharpness."""

CLOSE = 1e-3
"""Size of Newton's last step, which leaves an error of about its square."""
STEPS = 50
FLATTEST = 1e-6


def logarithms(probabilities: Iterable[float]) -> list[float]:
    """With the greatest at 0."""
    found = [log(each) if each > FLOOR else LOG_FLOOR for each in probabilities]
    top = max(found)
    return [each - top for each in found]


LOG_FLOOR = log(FLOOR)


def tempered(logs: Sequence[float], sharpness: float) -> list[float]:
    """The distribution of these `logarithms`."""
    powers = [exp(each * sharpness) for each in logs]
    total = sum(powers)
    return [each / total for each in powers]


def sharpness_for(logs: Sequence[float], top: float) -> float:
    """The sharpness at which the most probable class has the probability `top`, above 0 and below
    1; if there is none, the one that comes nearest.

    Newton's method: the logarithm of the others' share, which determines the top's, is convex in
    sharpness and falling. So from a sharpness that is too low, no step goes too far; and the one
    that would do if the second were the only other class is too low.
    """
    others = sorted(logs)[:-1]
    aim = log((1 - top) / top)
    found = min(max(aim / min(others[-1], -FLATTEST), LEAST), MOST)
    for _ in range(STEPS):
        powers = [exp(each * found) for each in others]
        total = sum(powers)
        slope = -sum(each * power for each, power in zip(others, powers, strict=True)) / total
        step = (log(total) - aim) / max(slope, FLATTEST)
        if step <= 0:
            break
        found = min(found + step, MOST)
        if step < CLOSE or found == MOST:
            break
    return found
