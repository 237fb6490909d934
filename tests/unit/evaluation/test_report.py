"""Accuracy, intervals and confusion from judged answers."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.evaluation import report
from app.evaluation.figures import interval
from tests.unit.evaluation.answers import judged, many

LABELS = ("cat", "dog")


def test_what_is_counted():
    """A failed picture is wrong; a stranger counts apart, and only when it was believed."""
    answers = [
        judged("cat", "cat"),
        judged("cat", "dog", 0.8),
        judged("dog", "dog", 0.5),
        judged("dog", None, 0.0),
        judged("none", "cat", 0.9),
        judged("none", "cat", 0.2),
        judged("none", "none", 0.95),
    ]

    found = report(answers, LABELS, 0.7)

    assert found.n == 4
    assert found.accuracy == 0.5
    assert found.accepted_share == 0.5
    assert found.accepted_accuracy == 0.5
    assert (found.none_accepted, found.none_n) == (1, 3)
    assert found.failed == 1
    assert found.confusion == {
        "cat": {"cat": 1, "dog": 1},
        "dog": {"dog": 1},
        "none": {"cat": 2, "none": 1},
    }
    assert found.unanswered == {"dog": 1}
    assert found.per_class["cat"].precision == 1.0
    assert found.per_class["cat"].recall == 0.5
    assert found.per_class["dog"].precision == 0.5


def test_nothing_accepted_has_no_accuracy():
    """No share of nothing."""
    assert report([judged("cat", "cat", 0.1)], LABELS, 0.7).accepted_accuracy is None


def test_what_the_verdict_let_pass_is_told_apart_from_the_threshold():
    """Margin, quality and what the model does not know hold back more."""
    answers = [
        judged("cat", "cat", 0.9, status="accepted"),
        judged("cat", "dog", 0.9, status="needs_review", reasons=("close_second",)),
        judged("none", "cat", 0.9, status="accepted"),
        judged("none", "cat", 0.8, status="needs_review", reasons=("ood", "image_quality")),
        judged("none", "none", 0.8, status="needs_review", reasons=("none_of_the_classes",)),
    ]

    found = report(answers, LABELS, 0.7)

    assert (found.accepted_share, found.accepted_accuracy) == (1.0, 0.5)
    assert (found.alone.n, found.alone.share, found.alone.accuracy) == (1, 0.5, 1.0)
    assert (found.none.above_threshold, found.none.accepted, found.none.none_of_these) == (2, 1, 1)
    assert found.none.review_reasons == {"ood": 1, "image_quality": 1, "none_of_the_classes": 1}
    assert found.review_reasons["close_second"] == 1


def test_cost_tokens_and_time_are_of_answers_that_were_asked_for():
    """Those of earlier requests cost nothing, and failed ones have no answer."""
    answers = [
        judged("cat", "cat", cost_usd=0.002, prompt_tokens=300, completion_tokens=5, seconds=1.0),
        judged("cat", "cat", cost_usd=0.004, prompt_tokens=100, completion_tokens=5, seconds=3.0),
        judged("cat", "cat", cost_usd=0.0, prompt_tokens=0, cached=True, seconds=0.001),
        judged("cat", None, seconds=30.0),
    ]

    found = report(answers, LABELS, 0.7)

    assert found.asked == 2
    assert found.cost_per_1000 == pytest.approx(3.0)
    assert (found.tokens_per_1000.prompt, found.tokens_per_1000.completion) == (200_000, 5_000)
    assert (found.latency_ms.mean, found.latency_ms.p50) == (2_000, 2_000)
    assert found.measured_on.cached == 1


def test_a_price_that_is_not_known_makes_no_sum():
    """Of a part it would be too small."""
    answers = [judged("cat", "cat", cost_usd=0.002), judged("cat", "cat", cost_usd=None)]

    assert report(answers, LABELS, 0.7).cost_per_1000 is None


def test_calibration_is_judged_where_both_confidences_are_known():
    answers = [
        *(judged("cat", "cat", 0.8, raw_confidence=1.0, calibration="fit_1") for _ in range(8)),
        *(judged("cat", "dog", 0.8, raw_confidence=1.0, calibration="fit_1") for _ in range(2)),
        judged("cat", "dog", 1.0),
    ]

    found = report(answers, LABELS, 0.7)

    assert found.calibrated.n == 10
    assert found.calibrated.ece_before == pytest.approx(0.2)
    assert found.calibrated.ece_after == pytest.approx(0.0)
    assert found.ece == pytest.approx(1 / 11)
    assert found.measured_on.calibrations == ["fit_1"]


def test_thresholds_for_what_somebody_may_want():
    """The lowest that reaches it; the domain's own first."""
    answers = [judged("cat", "cat", 0.99) for _ in range(19)]
    answers += [judged("cat", "dog", 0.8), judged("cat", None, 0.0)]

    own, ninety, ninety_five, ninety_seven, _ = report(answers, LABELS, 0.7).thresholds

    assert (own.target, own.threshold, own.n) == (None, 0.7, 20)
    assert (ninety.threshold, ninety_five.threshold) == (0.8, 0.8)
    assert ninety_five.accuracy == pytest.approx(0.95)
    assert (ninety_seven.threshold, ninety_seven.share) == (0.99, pytest.approx(19 / 21))


def test_a_class_called_failed_is_not_what_got_no_answer():
    answers = [judged("cat", "failed"), judged("cat", None), judged("failed", None)]

    found = report(answers, ("cat", "failed"), 0.7)

    assert found.confusion == {"cat": {"failed": 1}, "failed": {}}
    assert found.unanswered == {"cat": 1, "failed": 1}


@pytest.mark.parametrize(
    ("sure", "unsure", "told"),
    [
        (0.7311, 0.7305, 0.731),
        (0.7311, 0.731, 0.7311),
        (0.73114, 0.731, 0.7311),
        (0.9999, 0.2, 0.999),
        (1.0, 0.9999, 1.0),
        (0.29, 0.2899999999999999, 0.29),
        (0.8, 0.7999999999999999, 0.8),
    ],
)
def test_a_threshold_in_few_digits_accepts_what_was_counted(sure, unsure, told):
    """Neither the answer below it, nor less than it was counted on."""
    answers = [*(judged("cat", "cat", sure) for _ in range(9)), judged("cat", "dog", unsure)]

    found = report(answers, LABELS, 0.7)

    assert found.thresholds[3].threshold == found.risk_coverage.points[0].threshold == told
    assert found.thresholds[3].n == sum(each.confidence >= told for each in answers)


def test_the_surest_mistakes_name_each_picture_once():
    """However often it was asked about."""
    answers = [judged("cat", "dog", 0.9, sha256="a" * 64, result_id=f"r{n}") for n in range(20)]
    answers += [judged("cat", "dog", 0.8, sha256="b" * 64), judged("none", "dog", 0.9, name="n")]

    found = report([*answers, judged("none", "dog", 0.8, name="n")], LABELS, 0.7)

    assert [each.sha256[0] for each in found.mistakes] == ["a", "b"]
    assert [each.confidence for each in found.near_misses] == [0.9]


def test_the_surest_mistakes_come_first():
    answers = [judged("cat", "dog", place / 100, name=f"{place}.jpg") for place in range(50)]
    answers += [judged("none", "dog", place / 100, name=f"n{place}.jpg") for place in range(50)]

    found = report(answers, LABELS, 0.7)

    assert [each.name for each in found.mistakes] == [f"{place}.jpg" for place in range(49, 37, -1)]
    assert [each.name for each in found.near_misses][:2] == ["n49.jpg", "n48.jpg"]


@pytest.mark.parametrize(
    "answers",
    [
        [judged("cat", None, error="no")],
        [judged("none", "none")],
        [judged("cat", "none")],
        [judged("gone", "new")],
    ],
    ids=["all failed", "none only", "nothing but none of these", "classes of earlier days"],
)
def test_a_single_answer_of_any_kind(answers):
    found = report(answers, LABELS, 0.7)

    assert found.n + found.none_n == 1
    assert (found.ece is None) == (not found.reliability)
    assert found.thresholds[0].share in (0, 1)
    assert found.risk_coverage.area in (0, 1)


def test_fifty_thousand_take_a_second_or_so():
    answers = many(50_000, [f"class {number}" for number in range(500)])

    began = time.process_time()
    found = report(answers, LABELS, 0.7)

    assert found.n == 50_000
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(39, 40, 0.8712, 0.9956), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (0, 0, 0.0, 1.0)],
)
def test_wilsons_interval(right, n, low, high):
    """As published tables have it."""
    found = interval(right, n)

    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share(counts):
    """Within 0 to 1, and around what was seen."""
    right, n = counts

    found = interval(right, n)

    assert 0 <= found.low <= right / n + 1e-12
    assert right / n - 1e-12 <= found.high <= 1
