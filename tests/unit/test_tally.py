"""What is counted of results, and what is said of the counts."""

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.result import Failure, Result, Timings, Usage
from app.tally import ACCURACY, Tally, population_stability, wilson


def result(**values: Any) -> Result:
    row: dict[str, Any] = {
        "id": "cls_1",
        "domain": "flowers",
        "status": "accepted",
        "predicted_class": "rose",
        "confidence": 0.97,
        "caller": "shop",
        "domain_version": "1",
        "created_at": datetime(2026, 3, 1, 12, tzinfo=UTC),
    }
    return Result(**{**row, **values})


def failed() -> Result:
    failure = Failure(type="/problems/provider-timeout", detail="No answer within 30 s.")
    return result(status="failed", predicted_class=None, confidence=None, error=failure)


def of(*results: Result) -> Tally:
    return Tally.total(map(Tally.of, results))


def test_results_are_counted_by_what_became_of_them():
    tally = of(result(), result(status="needs_review", cached=True), failed())

    assert (tally.results, tally.accepted, tally.needs_review, tally.failed) == (3, 1, 1, 1)
    assert tally.cached == 1
    assert tally.named("errors") == {"provider-timeout": 1}
    assert tally.named("classes") == {"rose": 2}


def test_what_nobody_was_asked_about_counts_as_failed_but_is_no_result():
    tally = Tally.total([of(result(), result(), failed()), Tally.of_unanswered("overloaded")])

    assert (tally.results, tally.unanswered) == (3, 1)
    assert tally.failure_share == 0.5
    assert tally.named("errors") == {"provider-timeout": 1, "overloaded": 1}
    assert Tally().failure_share is None


def test_a_label_counts_for_answers_only():
    tally = of(
        result(expected="rose", expected_source="request"),
        result(expected="daisy", expected_source="later"),
        failed().model_copy(update={"expected": "rose", "expected_source": "request"}),
        result(),
    )

    assert (tally.labelled, tally.right) == (2, 1)
    assert tally.named("labelled") == {"request": 1, "later": 1}
    assert tally.named("right") == {"request": 1}


def test_reviews_of_what_was_unsure_count_apart():
    """They are of what is wrong more often: accuracy is of the others."""
    tally = of(
        result(expected="rose", expected_source="request"),
        result(expected="rose", expected_source="random_review"),
        result(expected="daisy", expected_source="random_review"),
        result(status="needs_review", expected="daisy", expected_source="review"),
        result(status="needs_review", expected="rose", expected_source="review"),
    )

    assert (tally.labelled, tally.right) == (3, 2)
    assert (tally.unseen_labelled, tally.unseen_right) == (2, 1)
    assert tally.named("labelled") == {"request": 1, "random_review": 2, "review": 2}


def test_none_of_the_classes_is_a_class_of_its_own():
    tally = of(result(predicted_class=None, status="needs_review", confidence=0.6))

    assert tally.named("classes") == {"": 1}


@pytest.mark.parametrize(
    ("confidence", "edge"),
    [(0.0, "0"), (0.0999, "0"), (0.1, "0.1"), (0.95, "0.95"), (0.9899, "0.98"), (1.0, "0.99")],
)
def test_confidence_falls_into_the_part_that_begins_at_or_below_it(confidence, edge):
    assert of(result(confidence=confidence)).named("confidence") == {edge: 1}


def test_tokens_are_added():
    used = Usage(prompt_tokens=200, completion_tokens=5, cost_usd=Decimal("0.001"))
    tally = of(result(usage=used), result(usage=used))

    assert (tally.prompt_tokens, tally.completion_tokens) == (400, 10)


def test_a_stage_that_did_not_take_place_is_not_counted():
    tally = of(result(timings_ms=Timings(prepare=4, total=10)))

    assert tally.percentile("fetch", 0.5) is None
    assert tally.percentile("prepare", 0.5) == pytest.approx(4, rel=ACCURACY)


@given(
    st.lists(st.floats(0.02, 600_000), min_size=1, max_size=200),
    st.lists(st.floats(0, 1), min_size=1, max_size=4).map(sorted),
)
def test_percentiles_are_within_what_is_promised(times, shares):
    """Of those that take the value of one of the results (R's type 1), by ranks from 0."""
    tally = of(*(result(timings_ms=Timings(total=each)) for each in times))

    found = tally.percentiles("total", *shares)
    in_order = sorted(times)
    exact = [in_order[math.floor(share * (len(times) - 1))] for share in shares]
    assert found == pytest.approx(exact, rel=ACCURACY * 1.001)


@given(st.lists(st.sampled_from(["rose", "daisy", None]), max_size=20), st.integers(0, 20))
def test_sums_of_sums_are_sums(labels, cut):
    """However they are parted, and after they were kept as a text."""
    found = [result(predicted_class=each, expected="rose") for each in labels]
    together = of(*found)
    parts = [Tally.parse(of(*part).text()) for part in (found[:cut], found[cut:])]

    assert Tally.total(parts).text() == together.text()


@pytest.mark.parametrize(
    ("right", "labelled", "interval"),
    [
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
        (20, 20, (0.8389, 1.0)),
    ],
)
def test_the_interval_is_wilsons(right, labelled, interval):
    """The examples of Newcombe, Statistics in Medicine 17 (1998), method 3."""
    assert wilson(right, labelled) == pytest.approx(interval, abs=5e-5)


def test_without_labels_there_is_no_interval():
    assert wilson(0, 0) is None


counts = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 1_000))


@given(counts, counts)
def test_distributions_are_apart_by_the_same_both_ways_and_never_less_than_nothing(one, other):
    names = {**one, **other}
    apart = population_stability(one, other, names)

    assert apart >= -1e-12
    assert apart == pytest.approx(population_stability(other, one, names))
    assert population_stability(one, one, names) == 0


def test_half_of_one_class_that_went_to_the_other_is_much():
    """(0.5 - 0.75) ln(0.5 / 0.75) + (0.5 - 0.25) ln(0.5 / 0.25)"""
    before, now = {"rose": 50_000, "daisy": 50_000}, {"rose": 75_000, "daisy": 25_000}

    assert population_stability(now, before, before) == pytest.approx(0.2747, abs=1e-3)
