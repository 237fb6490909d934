"""What labels give, also odd ones."""

import statistics
from dataclasses import replace

import pytest

from app.calibration.calibration import Fitted, calibrated, for_sets
from app.calibration.fitting import (
    ISOTONIC_FROM,
    MIN_LABELS,
    SCORES_KEPT,
    error_of,
    fit,
    recalibrated,
)
from app.calibration.labelled import Labelled
from app.calibration.tempering import LEAST, MOST
from app.errors import CalibrationRefused, TooFewLabels
from tests.labelled import EASY, HARD, MIDDLING, answers, drawn


def wrong(answer: Labelled) -> Labelled:
    """The class before the one that it says is true."""
    return replace(answer, true=(answer.answer - 1) % (len(answer.said) - 1))


def right(answer: Labelled) -> Labelled:
    return replace(answer, true=answer.answer)


@pytest.mark.parametrize("labels", [300, 1_500])
def test_fresh_answers_mean_what_they_say(labels):
    fresh = answers(4_000, seed=100)
    fitted = [fit(answers(labels, seed=seed)).fitted for seed in range(5)]

    found = [error_of([recalibrated(each, this) for each in fresh]) for this in fitted]

    assert error_of(fresh) > 0.15
    assert statistics.mean(found) <= 0.03
    assert max(found) < 0.05


def test_few_labels_give_one_number_and_many_a_curve():
    few, many = fit(answers(ISOTONIC_FROM - 1)), fit(answers(ISOTONIC_FROM))

    assert (few.method, few.fitted.curve) == ("temperature", None)
    assert 2 < few.fitted.temperature < 3  # the simulated model has 2.5
    assert (many.method, many.fitted.temperature) == ("isotonic", None)
    assert [y for _, y in many.fitted.curve] == sorted(y for _, y in many.fitted.curve)


def test_answers_that_mean_what_they_say_stay_nearly_as_they_are():
    assert fit(answers(900, spread=1)).fitted.temperature == pytest.approx(1, abs=0.15)


def test_too_few_are_refused_with_the_numbers():
    with pytest.raises(TooFewLabels, match=rf"{MIN_LABELS - 1} different.*{MIN_LABELS} are"):
        fit(answers(MIN_LABELS - 1))


@pytest.mark.parametrize("count", [MIN_LABELS, 300, ISOTONIC_FROM])
def test_where_all_were_right_it_is_still_not_certain(count):
    """As if one more had been wrong."""
    found = fit([right(each) for each in answers(count)])

    sure = calibrated((0.9, 0.06, 0.03, 0.01, 0.0), found.fitted)[0]

    assert 0.9 < sure < 1 - 1 / (20 * count)
    assert found.ece_after < found.ece_before


@pytest.mark.parametrize("count", [MIN_LABELS, ISOTONIC_FROM])
def test_where_all_were_wrong_no_class_is_probable(count):
    found = fit([wrong(each) for each in answers(count)])

    sure = calibrated((0.9, 0.06, 0.03, 0.01, 0.0), found.fitted)

    assert sure[0] == max(sure) < 0.35
    assert found.ece_after < found.ece_before / 2


@pytest.mark.parametrize("count", [MIN_LABELS, ISOTONIC_FROM])
def test_one_class_only(count):
    found = fit([Labelled((0.99, 0.01, 0.0), 0, 0)] * count)

    assert found.ece_after <= 0.02
    assert 0.97 < calibrated((0.99, 0.01, 0.0), found.fitted)[0] < 1


@pytest.mark.parametrize("count", [MIN_LABELS, ISOTONIC_FROM])
def test_a_truth_that_was_not_offered_is_wrong(count):
    found = fit([replace(each, true=None) for each in answers(count)])

    assert found.fitted.scores[0] == 1
    assert found.ece_before > 0.8


def test_five_hundred_classes():
    labels = tuple(f"c{place}" for place in range(500))
    found = fit(answers(MIN_LABELS, labels=labels))

    assert found.ece_after < found.ece_before


def test_what_makes_it_clearly_worse_is_refused():
    """Sure answers are right and unsure ones are, too; those between are wrong: no temperature says
    so, and it is not said at all."""
    sure = [Labelled((0.999, 0.001, 0.0), 0, 0)] * 100
    guesses = [Labelled((0.5, 0.2, 0.3), 0, place % 2) for place in range(100)]
    wrong_ones = [Labelled((0.9999, 0.0001, 0.0), 0, 1)] * 12

    with pytest.raises(CalibrationRefused, match="instead of"):
        fit([*sure, *guesses, *wrong_ones])


def test_the_same_labels_give_the_same_fit():
    assert fit(answers(200)) == fit(answers(200))


def test_scores_of_many_labels_are_thinned_and_never_too_low():
    labelled = answers(5_000)
    found = fit(labelled).fitted

    assert (len(found.scores), found.answers) == (SCORES_KEPT, 5_000)
    assert list(found.scores) == sorted(found.scores)
    assert found.rank(0.999) == found.scores[-2]  # of the 4,998th, where the 4,996th would do


def test_the_rank_is_that_of_split_conformal_prediction():
    """The ceil((n + 1) coverage)-th; with 9 scores nothing can be said of 95 %."""
    nine = Fitted(temperature=1, scores=tuple(each / 10 for each in range(1, 10)), answers=9)
    thinned = Fitted(temperature=1, scores=(0.2, 0.4, 0.6), answers=9)

    assert [nine.rank(each) for each in (0.5, 0.9, 0.91, 0.95)] == [0.5, 0.9, None, None]
    assert [thinned.rank(each) for each in (0.3, 0.31, 0.9)] == [0.2, 0.4, 0.6]


@pytest.mark.parametrize("concentration", [HARD, MIDDLING, EASY])
@pytest.mark.parametrize("labels", [300, ISOTONIC_FROM])
def test_sets_hold_the_true_class_as_often_as_asked(labels, concentration):
    """In the mean of 50 draws of labels, each with 2,000 fresh answers."""
    held: dict[float, list[float]] = {0.9: [], 0.95: []}
    for seed in range(50):
        fitted = fit(drawn(labels, seed=seed, concentration=concentration)).fitted
        fresh = drawn(2_000, seed=1_000_000 + seed, concentration=concentration)
        scores = [1 - for_sets(each.said, fitted)[each.true] for each in fresh]
        for coverage, found in held.items():
            found.append(statistics.mean(each <= fitted.rank(coverage) for each in scores))

    for coverage, found in held.items():
        assert statistics.mean(found) == pytest.approx(coverage, abs=0.005)


def test_bounds_of_a_temperature_are_those_of_sharpness():
    for temperature in (1 / MOST, 1 / LEAST):
        assert Fitted(temperature=temperature).temperature == temperature
    with pytest.raises(ValueError, match="temperature"):
        Fitted(temperature=1 / LEAST + 1)
