"""Whether new examples are taken, on directions that differ by class as much as wanted."""

import numpy as np
import pytest

from app.providers.local.teaching import Examples, teach
from app.teaching.judging import judge, surprise_of

LABELS = ("ash", "birch", "cedar")
SIZE = 32


def examples(random, per_class: int, say=lambda label: label) -> Examples:
    """Around a direction for each class; `say` is what somebody says of the true class."""
    centres = np.eye(SIZE)[: len(LABELS)] * 2
    rows: list[np.ndarray] = []
    told: list[str] = []
    for place, label in enumerate(LABELS):
        rows.append(centres[place] + random.normal(0, 0.35, (per_class, SIZE)))
        told += [say(label) for _ in range(per_class)]
    # One of each class more, so that all of them are known to it; they are left out again.
    every = Examples.of(np.concatenate([*rows, centres]), [*told, *LABELS])
    return every.at(np.arange(len(every.truth)) < len(told))


def shifted(label: str) -> str:
    return LABELS[(LABELS.index(label) + 1) % len(LABELS)]


@pytest.fixture(scope="module")
def known():
    return examples(np.random.default_rng(1), 10)


@pytest.fixture(scope="module")
def head(known):
    return teach(known, "").head


@pytest.mark.parametrize("seed", range(5))
def test_honest_labels_are_taken(known, head, seed):
    verdict = judge(known, examples(np.random.default_rng(10 + seed), 8), head)

    assert verdict.objection is None
    assert verdict.after >= verdict.before - 0.04


@pytest.mark.parametrize("say", [shifted, lambda _: "ash"], ids=["mixed up", "all the same"])
def test_wrong_ones_are_refused(known, head, say):
    verdict = judge(known, examples(np.random.default_rng(20), 8, say), head)

    assert verdict.objection is not None
    assert verdict.surprise > 4


def test_one_mistake_among_many_is_no_reason(known, head):
    random = np.random.default_rng(30)
    said = iter(["birch"] + [""] * 100)
    mistaken = examples(random, 8, lambda label: next(said) or label)

    assert judge(known, mistaken, head).objection is None


def test_labels_as_probable_as_the_head_says_are_no_surprise(head):
    random, found = np.random.default_rng(40), []
    for _ in range(200):
        rows = random.normal(0, 1, (len(LABELS) * 3, SIZE))
        shares = [head.probabilities(each / np.linalg.norm(each)) for each in rows]
        told = [str(random.choice(list(each), p=[*each.values()])) for each in shares]
        if set(told) == set(LABELS):
            found.append(surprise_of(Examples.of(rows, told), head))

    assert abs(np.mean(found)) < 0.2
    assert np.std(found) < 1.1
