import statistics
from dataclasses import replace

import pytest

from app.calibration.labelled import Labelled
from app.calibration.threshold import MIN_LABELS, threshold_for
from tests.labelled import answers


def ranked(*right: bool, step: float = 0.001) -> list[Labelled]:
    """The surest first."""
    sure = [0.99 - step * place for place in range(len(right))]
    return [
        Labelled((each, 1 - each, 0.0), 0, 0 if hit else 1, "rose")
        for each, hit in zip(sure, right, strict=True)
    ]


def test_the_lowest_from_which_on_enough_are_right_had_one_more_been_wrong():
    """49 right ones of 50 are 98 %, and 49 of 51 are 96 %."""
    answered = ranked(*[True] * 49, False, *[False] * 50)

    assert threshold_for(answered, 0.96).accepted == 50
    assert threshold_for(answered, 0.97).accepted == 49
    assert threshold_for(answered, 0.981).threshold is None
    assert threshold_for(answered, 0.981).reason == "unreachable"


def test_it_says_what_it_accepts():
    found = threshold_for(ranked(*[True] * 60, *[False] * 40), 0.8)

    assert found.accepted == 74
    assert found.threshold == pytest.approx(0.99 - 0.073)
    assert found.share_accepted == 0.74
    assert found.accuracy == 60 / 74
    assert found.interval[0] < found.accuracy < found.interval[1]


def test_answers_as_sure_as_each_other_are_accepted_together():
    found = threshold_for(ranked(*[True] * 90, *[False] * 90, step=0), 0.4)

    assert (found.accepted, found.threshold) == (180, 0.99)
    assert threshold_for(ranked(*[True] * 90, *[False] * 90, step=0), 0.6).threshold is None


def test_none_of_these_is_never_accepted():
    unknown = [replace(each, label=None) for each in ranked(*[True] * 50)]
    found = threshold_for([*ranked(*[True] * 50), *unknown], 0.9)

    assert (found.accepted, found.share_accepted, found.labels) == (50, 0.5, 100)


def test_few_labels_say_nothing():
    found = threshold_for(ranked(*[True] * (MIN_LABELS - 1)), 0.5)

    assert (found.threshold, found.reason) == (None, "too_few_labels")


def test_all_right_and_all_wrong():
    assert threshold_for(ranked(*[True] * 99), 0.99).accepted == 99
    assert threshold_for(ranked(*[False] * 99), 0.01).threshold is None


def test_fresh_answers_are_right_as_often_as_asked():
    """In the mean of 60 draws of 300 labels, where one is found in most: chance picks no lucky
    place."""
    fresh = answers(6_000, right=0.9, seed=1_000)
    reached = []
    for seed in range(60):
        found = threshold_for(answers(300, right=0.9, seed=seed), 0.95).threshold
        accepted = [each.is_right for each in fresh if each.confidence >= (found or 2)]
        reached += [statistics.mean(accepted)] if accepted else []

    assert len(reached) > 50
    assert statistics.mean(reached) == pytest.approx(0.95, abs=0.01)
