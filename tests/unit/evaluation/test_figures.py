"""Figures beside those that others compute."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss, f1_score, precision_score, recall_score

from app.evaluation import report
from app.evaluation.figures import Ranking, mcnemar, paired_interval
from app.evaluation.judged import brier
from tests.unit.evaluation.answers import many

LABELS = ("cat", "dog", "fish")


def test_scores_of_classes_are_those_of_scikit_learn():
    answers = many(400, LABELS)

    found = report(answers, LABELS, 0.7)

    truths = [each.expected for each in answers]
    said = [each.predicted for each in answers]
    for place, label in enumerate(LABELS):
        score = found.per_class[label]
        ours = (score.precision, score.recall, score.f1)
        theirs = [
            metric(truths, said, labels=LABELS, average=None)[place]
            for metric in (precision_score, recall_score, f1_score)
        ]
        assert ours == pytest.approx(theirs)
    assert found.macro_f1 == pytest.approx(f1_score(truths, said, labels=LABELS, average="macro"))


def test_brier_is_that_of_scikit_learn_with_none_as_a_class():
    random = np.random.default_rng(2)
    known = random.dirichlet([1, 1, 1, 1], 200)
    truths = random.choice([*LABELS, "none"], 200)
    ours = [
        brier(dict(zip(LABELS, row.tolist(), strict=False)), truth)
        for row, truth in zip(known, truths, strict=True)
    ]

    theirs = brier_score_loss(truths, known, labels=[*LABELS, "none"], scale_by_half=False)

    assert np.mean(ours) == pytest.approx(theirs)


@pytest.mark.parametrize(
    ("probabilities", "truth", "score"),
    [
        ({"cat": 1.0, "dog": 0.0}, "cat", 0.0),
        ({"cat": 1.0, "dog": 0.0}, "dog", 2.0),
        ({"cat": 0.5, "dog": 0.3}, "cat", 0.25 + 0.09 + 0.04),
        ({"cat": 0.5, "dog": 0.3}, "none", 0.25 + 0.09 + 0.64),
        ({"cat": 0.5, "dog": 0.5}, "gone", 1.5),
        (None, "cat", None),
    ],
)
def test_brier_by_hand(probabilities, truth, score):
    assert brier(probabilities, truth) == (None if score is None else pytest.approx(score))


def test_risk_by_hand():
    """Right, wrong, right, right, and one that nobody answered."""
    found = Ranking([0.9, 0.8, 0.7, 0.6], [True, False, True, True]).risk_coverage(5)

    assert [each.coverage for each in found.points] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert [each.risk for each in found.points] == pytest.approx([0, 1 / 2, 1 / 3, 1 / 4])
    assert found.area == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 4 + 2 / 5) / 5)


def test_equally_sure_answers_are_not_told_apart():
    """In whatever order they come."""
    one = Ranking([0.9, 0.9, 0.9, 0.5], [False, True, True, True]).risk_coverage(4)
    other = Ranking([0.9, 0.5, 0.9, 0.9], [True, True, True, False]).risk_coverage(4)

    assert one == other
    assert [each.coverage for each in one.points] == [0.75, 1]
    assert one.area == pytest.approx((1 / 3 + 1 / 3 + 1 / 3 + 1 / 4) / 4)


def test_the_lowest_threshold_that_reaches_an_accuracy():
    ranking = Ranking([0.95, 0.9, 0.8, 0.7, 0.6], [True, True, False, True, True])

    assert ranking.levels[ranking.lowest(0.8)] == 0.6
    assert ranking.levels[ranking.lowest(0.9)] == 0.9
    assert Ranking([0.9, 0.8], [False, True]).lowest(0.6) is None
    assert ranking.at(0.7) == (4, 3)
    assert ranking.at(0.71) == (3, 2)
    assert ranking.at(0.99) == (0, 0)
    assert Ranking([], []).at(0.5) == (0, 0)


def test_the_curve_has_a_hundred_points_at_most():
    random = np.random.default_rng(3)
    ranking = Ranking(random.uniform(size=5_000), random.uniform(size=5_000) < 0.8)

    points = ranking.risk_coverage(5_000).points

    assert 90 < len(points) <= 100
    assert points[0].coverage == pytest.approx(1 / 5_000)
    assert points[-1].coverage == 1


@pytest.mark.parametrize(
    ("better", "worse", "p"), [(0, 0, 1.0), (6, 0, 0.03125), (5, 5, 1.0), (10, 2, 0.03857421875)]
)
def test_mcnemar_by_hand(better, worse, p):
    assert mcnemar(better, worse) == pytest.approx(p)
    assert mcnemar(worse, better) == mcnemar(better, worse)
    if better + worse:
        assert mcnemar(better, worse) == pytest.approx(binomtest(better, better + worse).pvalue)


def test_the_interval_of_a_difference_by_hand():
    """Agresti and Min's: half a picture more in each of four cells."""
    found = paired_interval(10, 2, 50)

    middle = 8 / 52
    half = 1.959964 * (13 - 64 / 52) ** 0.5 / 52
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half))
