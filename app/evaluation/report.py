"""How good the answers are, from answers whose truth is known."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

NONE = "none"
"""Stands for "none of these", as a truth and as an answer."""

Z_95 = 1.959963984540054
"""Quantile of the normal distribution for a two-sided interval of 95 %."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer beside the truth.

    Attributes:
        expected: the true class, or NONE.
        predicted: the answer, or NONE; None when there was no answer.
        confidence: of the answer, 0 to 1.
        seconds: from request to answer.
    """

    name: str
    expected: str
    predicted: str | None
    confidence: float
    seconds: float
    error: str | None = None

    @property
    def right(self) -> bool:
        return self.predicted == self.expected


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Among pictures of the classes. `precision` and `recall` are None where there is nothing to
    divide by."""

    n: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """
    Attributes:
        n: pictures of one of the classes; those of none of them count apart.
        accuracy: share of `n` that was answered right; a failed one is wrong.
        interval: of the accuracy, 95 %, after Wilson.
        confusion: how often each truth got each answer ("failed": none).
        accepted_share: share of `n` whose confidence reached the threshold.
        accepted_accuracy: share of those that is right; None when there are none.
        none_n: pictures of none of the classes.
        none_accepted: how many of them were answered with a class above the threshold.
        seconds_per_image: mean.
    """

    n: int
    accuracy: float
    interval: Interval
    per_class: dict[str, ClassScore]
    confusion: dict[str, dict[str, int]]
    threshold: float
    accepted_share: float
    accepted_accuracy: float | None
    none_n: int
    none_accepted: int
    failed: int
    seconds_per_image: float


def report(judged: Sequence[Judged], labels: Sequence[str], threshold: float) -> Report:
    """Summarise answers; there must be at least one."""
    known = [each for each in judged if each.expected != NONE]
    strangers = [each for each in judged if each.expected == NONE]
    right = sum(each.right for each in known)
    accepted = [each for each in known if _accepted(each, threshold)]
    return Report(
        n=len(known),
        accuracy=right / len(known) if known else 0.0,
        interval=wilson(right, len(known)),
        per_class={label: _score(label, known) for label in labels},
        confusion=_confusion(judged),
        threshold=threshold,
        accepted_share=len(accepted) / len(known) if known else 0.0,
        accepted_accuracy=(
            sum(each.right for each in accepted) / len(accepted) if accepted else None
        ),
        none_n=len(strangers),
        none_accepted=sum(_accepted(each, threshold) for each in strangers),
        failed=sum(each.predicted is None for each in judged),
        seconds_per_image=sum(each.seconds for each in judged) / len(judged),
    )


def wilson(right: int, n: int) -> Interval:
    """The 95 % score interval of a share (Wilson, 1927); 0 to 1 for no trials."""
    if n == 0:
        return Interval(0.0, 1.0)
    share, z2 = right / n, Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def _accepted(each: Judged, threshold: float) -> bool:
    return each.predicted not in (None, NONE) and each.confidence >= threshold


def _score(label: str, judged: Sequence[Judged]) -> ClassScore:
    there = [each for each in judged if each.expected == label]
    answered = [each for each in judged if each.predicted == label]
    hits = sum(each.right for each in there)
    return ClassScore(
        n=len(there),
        precision=hits / len(answered) if answered else None,
        recall=hits / len(there) if there else None,
    )


def _confusion(judged: Sequence[Judged]) -> dict[str, dict[str, int]]:
    table: dict[str, Counter[str]] = {}
    for each in judged:
        table.setdefault(each.expected, Counter())[each.predicted or "failed"] += 1
    return {truth: dict(counts) for truth, counts in table.items()}
