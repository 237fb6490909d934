"""Whatever is said and fitted: order stays, sums stay below 1, and more is asked for more."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.calibration import Calibration
from app.calibration.calibration import Fitted
from app.calibration.labelled import Labelled
from app.calibration.tempering import FLOOR
from app.calibration.threshold import threshold_for
from app.storage import CalibrationKey

shares = st.floats(0, 1) | st.sampled_from([0.0, 1.0, 1e-300, 1e-6, 1 - 1e-16])
weights = st.lists(st.floats(0, 1) | st.just(0.0), min_size=2, max_size=12)


@st.composite
def distributions(draw) -> dict[str, float]:
    """Sums to 1 at most; one class may have it all."""
    found = draw(weights)
    total = sum(found)
    mass = draw(shares)
    if total < 1e-9:
        found, total = [1.0, *[0.0] * (len(found) - 1)], 1.0
    return {f"c{place}": mass * each / total for place, each in enumerate(found)}


@st.composite
def fits(draw) -> Fitted:
    scores = sorted(draw(st.lists(st.floats(0, 1), min_size=1, max_size=50)))
    kept = {"scores": scores, "answers": draw(st.integers(len(scores), 500))}
    if draw(st.booleans()):
        return Fitted(temperature=draw(st.floats(0.05, 20)), **kept)
    xs = sorted(draw(st.sets(st.floats(0, 1), min_size=1, max_size=10)))
    ys = sorted(draw(st.lists(st.floats(0.001, 0.999), min_size=len(xs), max_size=len(xs))))
    return Fitted(curve=tuple(zip(xs, ys, strict=True)), **kept)


def calibration(fitted: Fitted) -> Calibration:
    key = CalibrationKey("flowers", "1", "fake", "fake-1", "stated", "1")
    return Calibration("fit_1", key, "temperature", 100, 0.1, 0.1, fitted, datetime.now(UTC))


@given(distributions(), fits())
def test_what_was_more_probable_is_not_less_probable(said, fitted):
    told = calibration(fitted).apply(said)
    ranked = sorted(said, key=said.__getitem__)

    assert told.keys() == said.keys()
    for less, more in pairwise(ranked):
        assert told[less] <= told[more] + 1e-12


@given(distributions(), fits())
def test_probabilities_stay_probabilities(said, fitted):
    told = calibration(fitted).apply(said)

    assert all(math.isfinite(each) and 0 <= each <= 1 for each in told.values())
    assert sum(told.values()) <= 1 + 1e-9


@given(distributions())
def test_a_temperature_of_one_changes_nothing(said):
    told = calibration(Fitted(temperature=1)).apply(said)

    assert all(abs(told[name] - said[name]) <= 15 * FLOOR for name in said)


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=20), st.floats(0.7, 0.99))
def test_the_curve_says_what_the_top_becomes(others, wanted):
    """Where it leads clearly; else order bounds it."""
    total = 1 + sum(others)
    said = {f"c{place}": each / total for place, each in enumerate([1.0, *others])}

    told = calibration(Fitted(curve=((0.5, wanted),))).apply(said)

    assert abs(told["c0"] - wanted) < 1e-4


@given(distributions(), fits(), st.lists(st.floats(0.5, 0.999), min_size=2, max_size=5))
def test_sets_grow_with_coverage(said, fitted, coverages):
    fresh = calibration(fitted)
    sets = [set(fresh.prediction_set(said, each)) for each in sorted(coverages)]

    for small, large in pairwise(sets):
        assert small <= large
    assert all(each <= {*said, "none"} for each in sets)


labelled = st.lists(
    st.tuples(st.floats(0.5, 1), st.booleans(), st.booleans()), min_size=50, max_size=120
)


@given(labelled, st.lists(st.floats(0.01, 0.999), min_size=2, max_size=6))
def test_a_threshold_rises_with_accuracy_and_keeps_it(drawn, wanted):
    answered = [
        Labelled((sure, 1 - sure, 0.0), 0, 0 if right else 1, "rose" if known else None)
        for sure, right, known in drawn
    ]
    found = [(each, threshold_for(answered, each)) for each in sorted(wanted)]
    thresholds = [2.0 if one.threshold is None else one.threshold for _, one in found]

    assert thresholds == sorted(thresholds)
    for accuracy, one in found:
        if one.threshold is not None:
            accepted = [
                each.is_right
                for each in answered
                if each.label and each.confidence >= one.threshold
            ]
            assert len(accepted) == one.accepted
            assert sum(accepted) / len(accepted) == one.accuracy >= accuracy


@given(labelled, st.sampled_from([0.25, 2, 64]), st.floats(0.1, 0.99))
def test_what_all_weigh_is_no_matter(drawn, weight, accuracy):
    """Only how they differ is."""
    answered = [
        Labelled((sure, 1 - sure, 0.0), 0, 0 if right else 1, "rose") for sure, right, _ in drawn
    ]
    heavy = [replace(each, weight=weight) for each in answered]

    assert threshold_for(heavy, accuracy) == threshold_for(answered, accuracy)
