"""The two methods of fitting: one number, or a curve."""

from collections.abc import Sequence
from math import exp, log

import numpy as np

from app.calibration.calibration import Fitted
from app.calibration.labelled import Labelled
from app.calibration.tempering import LEAST, LOG_FLOOR, MOST, logarithms

NEVER = -1e4
"""The logarithm of a class that was not offered."""


def temperature(labelled: Sequence[Labelled]) -> Fitted:
    """The one that makes the true classes most likely, with one more answer, of median confidence,
    that is wrong: so there is a solution even if all were right."""
    # Slow to import (half a second), and only needed for fitting.
    from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]

    rows = [logarithms(each.said) for each in labelled]
    logs = np.full((len(rows), max(map(len, rows))), NEVER)
    for place, row in enumerate(rows):
        logs[place, : len(row)] = row
    true = sum(
        LOG_FLOOR if each.true is None else row[each.true]
        for each, row in zip(labelled, rows, strict=True)
    )
    sureness = [max(each.said) for each in labelled]
    one_more = np.sort(logs[np.argsort(sureness)[len(rows) // 2]])

    def unlikeliness(log_sharpness: float) -> float:
        sharpness = exp(log_sharpness)
        of_true = np.log(np.exp(logs * sharpness).sum(1)).sum() - true * sharpness
        powers = np.exp(one_more * sharpness)
        return float(of_true + np.log(powers.sum()) - np.log(powers[:-1].sum()))

    bounds = (log(LEAST), log(MOST))
    sharpness = exp(minimize_scalar(unlikeliness, bounds=bounds, method="bounded").x)
    return Fitted(temperature=min(max(1 / sharpness, 1 / MOST), 1 / LEAST))


def curve(labelled: Sequence[Labelled]) -> Fitted:
    """How often the most probable class was true, by its probability: rising, with the least error
    of all such curves (isotonic regression). Its ends never reach 0 or 1."""
    from scipy.optimize import isotonic_regression

    greatest = [min(1.0, max(each.said)) for each in labelled]
    said, place, count = np.unique(greatest, return_inverse=True, return_counts=True)
    right = np.bincount(place, [each.top_is_right for each in labelled])
    found = isotonic_regression(right / count, weights=count)
    chance = 1 / (len(labelled) + 2)
    level = np.clip(found.x, chance, 1 - chance)
    # A flat part needs no knots between its ends.
    knots = np.union1d(found.blocks[:-1], found.blocks[1:] - 1)
    return Fitted(curve=tuple(zip(said[knots].tolist(), level[knots].tolist(), strict=True)))
