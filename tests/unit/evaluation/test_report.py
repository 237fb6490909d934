"""Accuracy, intervals and confusion from judged answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.evaluation import Judged, report, wilson

LABELS = ("cat", "dog")


def judged(expected, predicted, confidence=0.9):
    return Judged("p.jpg", expected, predicted, confidence, 0.01)


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
        "dog": {"dog": 1, "failed": 1},
        "none": {"cat": 2, "none": 1},
    }
    assert found.per_class["cat"].precision == 1.0
    assert found.per_class["cat"].recall == 0.5
    assert found.per_class["dog"].precision == 0.5


def test_nothing_accepted_has_no_accuracy():
    """No share of nothing."""
    assert report([judged("cat", "cat", 0.1)], LABELS, 0.7).accepted_accuracy is None


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(39, 40, 0.8712, 0.9956), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (0, 0, 0.0, 1.0)],
)
def test_wilsons_interval(right, n, low, high):
    """As published tables have it."""
    found = wilson(right, n)

    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share(counts):
    """Within 0 to 1, and around what was seen."""
    right, n = counts

    found = wilson(right, n)

    assert 0 <= found.low <= right / n + 1e-12
    assert right / n - 1e-12 <= found.high <= 1
