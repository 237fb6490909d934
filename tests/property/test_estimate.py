"""Estimates from samples: the arithmetic, whatever the pictures."""

from random import Random
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.batches.ranges import Range, mean_of_next, total
from app.batches.sample import Sample, rank
from app.providers.chat_quote import text_tokens

amounts = st.lists(st.floats(0, 1e6), min_size=1, max_size=100)
ranges = st.lists(st.floats(0, 1e6), min_size=3, max_size=3).map(lambda each: Range(*sorted(each)))
pictures = st.lists(st.one_of(st.text(max_size=9), st.binary(max_size=9)), max_size=60)


def in_order(found: Range) -> bool:
    return 0 <= found.low <= found.expected * (1 + 1e-9) <= found.high * (1 + 2e-9)


@given(amounts, st.integers(0, 10**6))
def test_a_total_is_never_less_than_what_was_seen(sample, more):
    found = total(sample, len(sample) + more)

    assert in_order(found)
    assert found.low >= sum(sample) * (1 - 1e-9)
    assert found.expected == pytest.approx((len(sample) + more) * fmean(sample))


@given(amounts)
def test_of_the_whole_nothing_is_guessed(sample):
    found = total(sample, len(sample))

    assert found.low == pytest.approx(sum(sample))
    assert found.high == pytest.approx(sum(sample))


@given(amounts, st.floats(0, 1e6))
def test_what_comes_next_is_around_what_was(earlier, count):
    found = mean_of_next(earlier, count)

    assert in_order(found)
    assert found.expected == pytest.approx(fmean(earlier))
    assert mean_of_next(earlier, count + 1).high <= found.high * (1 + 1e-9)


@given(ranges, ranges, ranges)
def test_ranges_stay_ranges(one, two, three):
    assert in_order(one + two * three)


@given(pictures, st.integers(1, 20))
def test_a_sample_is_of_different_pictures(items, most):
    """As many as there are, at most `most`, whatever was let go meanwhile."""
    sample = Sample(most)
    for each in items:
        sample.add(each)
        if isinstance(each, bytes) and rank(each) in sample.drawn:
            sample.let_go(rank(each))

    assert sample.items == len(items)
    assert sample.pictures() == len(set(items))
    assert len(sample.drawn) == min(most, len(set(items)))
    assert set(sample.drawn) <= {rank(each) for each in items}


@given(pictures, st.integers(1, 20), st.randoms(use_true_random=False))
def test_order_and_copies_do_not_matter(items, most, random):
    first, second = Sample(most), Sample(most)
    for each in items:
        first.add(each)
    again = [*items, *items]
    random.shuffle(again)
    for each in again:
        second.add(each)

    assert set(first.drawn) == set(second.drawn)


def test_a_sample_is_even():
    """Every place of a list is drawn from: of each tenth of 10,000 URLs about a tenth of the
    samples (binomial, six standard deviations)."""
    tenths = [0] * 10
    for batch in range(50):
        sample = Sample(100)
        for number in range(10_000):
            sample.add(f"https://example.org/{batch}/{number}.jpg")
        for url in sample.drawn.values():
            tenths[int(url.rpartition("/")[2][:-4]) // 1_000] += 1

    assert all(abs(each - 500) < 6 * 21.2 for each in tenths)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    """Of mixtures like those of picture sizes, where a few take ten times as much."""
    random, held = Random(7), 0
    for _ in range(1_000):
        population = [random.choice((85, 255, 425, 765, 1_105)) for _ in range(1_000)]
        found = total(random.sample(population, 100), 1_000)
        held += found.low <= sum(population) <= found.high

    assert 930 <= held <= 975


@settings(max_examples=200)
@given(st.text(max_size=200), st.text(max_size=200))
def test_more_text_takes_no_fewer_tokens(one, two):
    assert 0 <= text_tokens(one) <= text_tokens(f"{one} {two}") <= 2 * len(f"{one} {two}")
