"""One distribution of several answers: what cancels, what is bounded, who wins."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.classification.pooling import both_orders, counted, votes_wanted
from app.domains import Domain
from app.providers.base import ProviderAnswer
from tests.unit.providers.told import told

PETS = Domain(name="pets", classes=("cat", "dog", "bird"))
OPEN = Domain(name="pets", classes=("cat", "dog", "bird"), allow_none=True)


def answer(shares, domain=PETS, label="", **more):
    label = label or max(shares, key=shares.get)
    probabilities = {each: shares.get(each, 0.0) for each in domain.labels}
    return ProviderAnswer(label, probabilities, "logprobs", "m", **more)


def sure(label, percent):
    """A stated answer."""
    rest = (1 - percent / 100) / 3
    shares = dict.fromkeys((*PETS.labels, None), rest) | {label: percent / 100}
    return answer(shares, OPEN, label=label) if label else answer(shares, OPEN)


def scaled(weights):
    return {each: weight / sum(weights.values()) for each, weight in weights.items()}


@given(st.floats(0.001, 0.999), st.floats(0.05, 20))
def test_a_factor_of_the_place_cancels_for_two_classes(share, factor):
    """Whichever class comes first gets its odds multiplied: both orders give the odds back."""
    domain = Domain(name="pair", classes=("cat", "dog"))
    first = answer(scaled({"cat": share * factor, "dog": 1 - share}), domain)
    second = answer(scaled({"cat": share, "dog": (1 - share) * factor}), domain)

    pooled = both_orders(first, second, domain.labels, domain)

    assert pooled.probabilities["cat"] == pytest.approx(share, abs=1e-4)
    assert pooled.tail == 0


def test_the_label_is_the_most_probable_of_both():
    pooled = both_orders(
        answer({"cat": 0.5, "dog": 0.4, "bird": 0.1}),
        answer({"cat": 0.2, "dog": 0.7, "bird": 0.1}),
        PETS.labels,
        PETS,
    )

    assert pooled.label == "dog"
    assert sum(pooled.probabilities.values()) == pytest.approx(1)


def test_none_of_these_takes_part():
    """It is what is missing of 1."""
    pooled = both_orders(
        answer({"cat": 0.4, "dog": 0.2, "bird": 0.1}, OPEN),
        answer({"cat": 0.1, "dog": 0.1, "bird": 0.1}, OPEN, label="cat"),
        (*OPEN.labels, None),
        OPEN,
    )

    assert pooled.label is None
    none = math.sqrt(0.3 * 0.7)
    rest = math.sqrt(0.4 * 0.1) + math.sqrt(0.2 * 0.1) + math.sqrt(0.1 * 0.1)
    assert 1 - sum(pooled.probabilities.values()) == pytest.approx(none / (none + rest))


def test_what_is_not_offered_again_keeps_its_share():
    first = answer({"cat": 0.6, "dog": 0.3, "bird": 0.1}, tail=0.1, untold=frozenset({"bird"}))
    second = answer({"cat": 0.5, "dog": 0.5})

    pooled = both_orders(first, second, ("cat", "dog"), PETS)

    assert pooled.probabilities["bird"] == pytest.approx(0.1)
    assert pooled.probabilities["cat"] / pooled.probabilities["dog"] == pytest.approx(2**0.5)
    assert pooled.tail == pytest.approx(0.1)


@settings(max_examples=200)
@given(st.integers(2, 20), st.integers(2, 6), st.randoms(use_true_random=False), st.booleans())
def test_no_class_is_off_by_more_than_the_tail(count, shown, random, none):
    """Against the same two answers, had the model told all."""
    labels = tuple(f"class {number}" for number in range(count))
    domain = Domain(name="many", classes=labels, allow_none=none)
    offered = (*labels, *([None] if none else []))
    one, other = (scaled({each: random.random() ** 6 + 1e-5 for each in offered}) for _ in "12")
    first = told(one, shown, domain)
    again = [each for each in offered if each not in first.untold or each is None]
    if len(again) < 2:
        return
    second = told(scaled({each: other[each] for each in again}), shown, domain)

    pooled = both_orders(first, second, again, domain)

    roots = {each: math.sqrt(one[each] * other[each]) for each in again}
    left = 1 - sum(p for each, p in one.items() if each not in roots)
    true = one | {each: left * root / sum(roots.values()) for each, root in roots.items()}
    for label in labels:
        assert pooled.probabilities[label] == pytest.approx(true[label], abs=pooled.tail + 1e-4)


@pytest.mark.parametrize(
    ("labels", "left", "wanted"),
    [
        ("a", 4, 2),
        ("a", 2, 1),
        ("a", 3, 2),
        ("aaa", 2, 0),
        ("aab", 2, 1),
        ("aaab", 1, 0),
        ("aabb", 1, 1),
        ("ab", 0, 0),
        ("a", 14, 7),
    ],
)
def test_so_many_votes_are_cast_that_all_for_the_leader_decide_it(labels, left, wanted):
    assert votes_wanted(_ballots(labels), many(3, 0.5), left=left) == wanted


@pytest.mark.parametrize(
    ("labels", "left", "threshold", "classes", "wanted"),
    [
        ("aa", 1, 0.7, 10, 0),
        ("aa", 1, 0.7, 11, 1),
        ("aa", 0, 0.7, 11, 0),
        ("a", 2, 0.7, 11, 2),
        ("aaab", 1, 0.7, 3, 1),
        ("aaaaab", 1, 0.9, 3, 0),
        ("aaa", 2, 0.9, 3, 0),
        ("aaa", 2, 1.0, 3, 0),
        ([None] * 2, 1, 0.7, 11, 0),
    ],
)
def test_votes_go_on_while_they_may_lift_the_leader_to_the_threshold(
    labels, left, threshold, classes, wanted
):
    """And not where nothing can; "none of these" is looked at however sure it is."""
    domain = many(classes, threshold)
    if None in list(labels):
        domain = domain.model_copy(update={"allow_none": True})

    assert votes_wanted(_ballots(labels), domain, left=left) == wanted


@given(
    st.integers(2, 15),
    st.lists(st.sampled_from("abc"), min_size=15, max_size=15),
    st.floats(0, 1),
    st.integers(3, 40),
)
def test_no_vote_that_was_spared_would_have_changed_the_verdict(votes, said, threshold, classes):
    """Stopped early or not, the same class wins, no more votes would have lifted it over the
    threshold, and it is never asked more often than told."""
    domain, cast = many(classes, threshold), said[:1]
    while wanted := votes_wanted(_ballots(cast), domain, left=votes - len(cast)):
        cast = said[: len(cast) + wanted]
    counts = {each: said[:votes].count(each) for each in "abc"}
    best = max(counts.values())

    assert len(cast) <= votes
    if len(cast) < votes:
        winner = max(set(cast), key=cast.count)
        assert [each for each, count in counts.items() if count == best] == [winner]
        if domain.vote_share(cast.count(winner), len(cast)) < threshold:
            for n in range(1, votes - len(cast) + 1):
                assert domain.vote_share(cast.count(winner) + n, len(cast) + n) < threshold


def many(classes, threshold):
    labels = [f"class {n}" for n in range(classes)]
    return Domain(name="many", classes=labels, confidence_threshold=threshold)


def _ballots(labels):
    return [ProviderAnswer(each, {}, "stated", "m") for each in labels]


def test_votes_become_probabilities_with_a_prior_of_one_vote():
    """(votes + 1/4) / (3 + 1), of three classes and "none of these"."""
    found = counted([sure("cat", 90), sure("cat", 80), sure("dog", 95)], OPEN)

    assert found.label == "cat"
    assert found.confidence_source == "votes"
    assert found.probabilities == pytest.approx({"cat": 2.25 / 4, "dog": 1.25 / 4, "bird": 0.0625})
    assert 1 - sum(found.probabilities.values()) == pytest.approx(0.0625)


def test_none_of_these_may_win():
    found = counted([sure(None, 60), sure(None, 70), sure("dog", 95)], OPEN)

    assert found.label is None
    assert 1 - sum(found.probabilities.values()) == pytest.approx(2.25 / 4)


def test_of_as_many_votes_the_surer_win():
    found = counted([sure("cat", 60), sure("dog", 90), sure("cat", 70), sure("dog", 80)], OPEN)

    assert found.label == "dog"
