"""Fits a calibration to labels. It takes up to seconds: call it in a thread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from app.calibration.calibration import TINY, Fitted, Method, calibrated
from app.calibration.labelled import Labelled
from app.calibration.reliability import calibration_error, reliability
from app.calibration.ways import curve, temperature
from app.errors import CalibrationRefused, TooFewLabels

MIN_LABELS = 100
"""With fewer, the error of a fit is lost in noise: for 100 perfectly calibrated answers it is 0.08
on average (`python -m benchmarks.calibration`)."""

ISOTONIC_FROM = 1_000
"""Labels needed for a curve; with fewer it overfits, and a temperature, a single number, does
better (Niculescu-Mizil and Caruana, Predicting Good Probabilities, 2005)."""

FOLDS = 10

CLEARLY = 0.02
"""An error does not grow this much by chance, since both are measured on the same answers."""

SCORES_KEPT = 2_000


@dataclass(frozen=True, slots=True)
class Fit:
    """As in Calibration."""

    method: Method
    labels: int
    ece_before: float
    ece_after: float
    fitted: Fitted


def fit(labelled: Sequence[Labelled]) -> Fit:
    """Raises TooFewLabels, CalibrationRefused."""
    count = len(labelled)
    if count < MIN_LABELS:
        raise too_few(count, MIN_LABELS)
    method: Method = "isotonic" if count >= ISOTONIC_FROM else "temperature"
    way = {"temperature": temperature, "isotonic": curve}[method]
    told = _out_of_fold(labelled, way)
    before, after = error_of(labelled), error_of(told)
    if after > before + CLEARLY:
        raise CalibrationRefused(
            f"With what {count:,} labels give the expected calibration error would be {after:.3f} "
            f"instead of {before:.3f}."
        )
    # On answers that the fit has not seen, or sets would promise too much.
    judged = told if method == "temperature" else labelled
    # A fresh answer may weigh as much as the heaviest (Tibshirani et al., Conformal Prediction
    # Under Covariate Shift, 2019).
    answers = int(sum(each.weight for each in judged) / max(each.weight for each in judged) + TINY)
    kept = {"scores": _evenly(judged, min(answers, SCORES_KEPT)), "answers": answers}
    return Fit(
        method,
        count,
        round(before, 6),
        round(after, 6),
        Fitted.model_validate(way(labelled).model_dump() | kept),
    )


def too_few(count: int, needed: int) -> TooFewLabels:
    return TooFewLabels(
        f"The true class is known of {count:,} different pictures; {needed:,} are needed."
    )


def error_of(answers: Sequence[Labelled]) -> float:
    """Their expected calibration error."""
    confidence = [each.confidence for each in answers]
    right, weights = [each.is_right for each in answers], [each.weight for each in answers]
    return calibration_error(reliability(confidence, right, weights))


def _out_of_fold(
    labelled: Sequence[Labelled], way: Callable[[Sequence[Labelled]], Fitted]
) -> list[Labelled]:
    """Each calibrated by a fit that has not seen it."""
    order = list(range(len(labelled)))
    Random(0).shuffle(order)  # noqa: S311 - the same labels give the same fit
    found = list(labelled)
    for first in range(FOLDS):
        held_out = set(order[first::FOLDS])
        fitted = way([each for place, each in enumerate(labelled) if place not in held_out])
        for place in held_out:
            found[place] = recalibrated(labelled[place], fitted)
    return found


def recalibrated(answer: Labelled, fitted: Fitted) -> Labelled:
    return replace(answer, said=calibrated(answer.said, fitted))


def as_in_force(answers: Sequence[Labelled], fitted: Fitted | None) -> Sequence[Labelled]:
    """As they would be calibrated now; `fitted` None: no calibration is in force."""
    return answers if fitted is None else [recalibrated(each, fitted) for each in answers]


MILLIONTHS = 1_000_000


def _evenly(judged: Sequence[Labelled], kept: int) -> list[float]:
    """`kept` of their scores, evenly spaced by weight, including the greatest; rounded up, so that
    a set is not too small."""
    scores = np.array([1 - (0 if each.true is None else each.said[each.true]) for each in judged])
    order = np.argsort(scores, kind="stable")
    weights = np.array([each.weight for each in judged])[order].cumsum()
    wanted = np.arange(1, kept + 1) / kept * weights[-1]
    places = np.searchsorted(weights, wanted * (1 - TINY))
    rounded = np.ceil(scores[order][places] * MILLIONTHS) / MILLIONTHS
    return [float(each) for each in np.minimum(rounded, 1.0)]
