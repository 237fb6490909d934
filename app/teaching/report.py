"""How good a lesson will be, estimated by heads that had not seen the examples they were tested
on."""

from collections import Counter
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from app.domains import Domain
from app.providers.local.teaching import Examples, Lesson, OutOfFold, cross_validated
from app.result import NONE
from app.tally import wilson

ENOUGH_TO_HALVE = 4
"""Least examples of each class for measuring what half of them would have achieved."""

Interval = tuple[float, float]


class ClassReport(BaseModel):
    """How well a class is told apart from the others."""

    label: str = Field(examples=["rose"])
    examples: int = Field(examples=[10])
    right: float | None = Field(
        description="Share of its examples classified correctly by heads that had not seen them; "
        "null if that can't be measured.",
        examples=[0.86],
    )
    interval: Interval | None = Field(
        description="Where the true share lies with 95 % confidence (Wilson).",
        examples=[(0.55, 0.97)],
    )
    confused_with: dict[str, float] = Field(
        description="Share of its examples mistaken for each other class, the largest first.",
        examples=[{"daisy": 0.1}],
    )
    gain: float | None = Field(
        description="By how much `right` rises if heads are taught with all examples (except those "
        "they are tested on) instead of half of them; null for fewer than "
        f"{ENOUGH_TO_HALVE} examples of any class.",
        examples=[0.06],
    )
    more_helps: bool | None = Field(
        description="True: the gain is beyond its standard error, and not all are right yet, so "
        "that more examples of this class are likely to help.",
        examples=[True],
    )


class LessonReport(BaseModel):
    """How good a head (a classifier on the local model's embeddings) is, judged by the examples
    that it was taught with."""

    examples: int = Field(description="Examples of the classes.", examples=[40])
    none_examples: int = Field(description="Examples of none of the classes.", examples=[10])
    missing: list[str] = Field(
        description="Classes of the domain without an example: if there are any, the lesson is not "
        "used.",
        examples=[[]],
    )
    accuracy: float | None = Field(
        description="Share of the classes' examples classified correctly by heads that had not "
        "seen them (5-fold cross-validation, 5 times); null if a class has a single example.",
        examples=[0.84],
    )
    interval: Interval | None = Field(
        description="Where the true share lies with 95 % confidence (Wilson).",
        examples=[(0.7, 0.92)],
    )
    wanted: float = Field(
        description="Share of accepted answers that should be right.", examples=[0.97]
    )
    threshold: float | None = Field(
        description="Lowest confidence from which on `wanted` is reached; null: there is none.",
        examples=[0.72],
    )
    accepted: float | None = Field(
        description="Share of the classes' examples at or above the threshold.", examples=[0.68]
    )
    accepted_right: float | None = Field(
        description="Share of those that are right.", examples=[0.985]
    )
    none_accepted: float | None = Field(
        description="Share of the examples of none that reach the threshold nevertheless; null "
        "without any.",
        examples=[0.05],
    )
    classes: list[ClassReport] = Field(
        description="Classes, the one that is classified correctly least often first."
    )

    @property
    def serves(self) -> bool:
        """Whether this lesson can answer for the domain."""
        return not self.missing

    @classmethod
    def of(cls, domain: Domain, examples: Examples, lesson: Lesson, wanted: float) -> Self:
        """It takes as long as the lesson did: not for the event loop."""
        judged, threshold = lesson.judged, lesson.head.threshold
        mine = examples.truth < len(examples.labels)
        told = {
            "examples": int(mine.sum()),
            "none_examples": int((~mine).sum()),
            "missing": [label for label in domain.labels if label not in examples.labels],
            "wanted": wanted,
            "threshold": threshold,
            "classes": _classes(examples, judged),
        }
        unknown = ("accuracy", "interval", "accepted", "accepted_right", "none_accepted")
        if judged is None:
            return cls.model_validate(told | dict.fromkeys(unknown))
        asked_mine = judged.truth < judged.labels
        right = judged.right[asked_mine]
        sure = judged.confidence >= (np.inf if threshold is None else threshold)
        accuracy = float(right.mean())
        return cls.model_validate(
            told
            | {
                "accuracy": accuracy,
                "interval": _interval(accuracy, int(mine.sum())),
                "accepted": _mean(sure[asked_mine]),
                "accepted_right": _mean(right[sure[asked_mine]]),
                "none_accepted": _mean(sure[~asked_mine]),
            }
        )


def _classes(examples: Examples, judged: OutOfFold | None) -> list[ClassReport]:
    counts = np.bincount(examples.truth, minlength=len(examples.labels)).tolist()
    if judged is None:
        return [
            ClassReport(
                label=label,
                examples=count,
                right=None,
                interval=None,
                confused_with={},
                gain=None,
                more_helps=None,
            )
            for label, count in zip(examples.labels, counts, strict=False)
        ]
    halved = None
    if examples.fewest >= ENOUGH_TO_HALVE:
        halved = shares_right(cross_validated(examples, share=0.5), len(examples.truth))
    right = shares_right(judged, len(examples.truth))
    found = [
        _class(place, label, examples, judged, right, halved)
        for place, label in enumerate(examples.labels)
    ]
    return sorted(found, key=lambda each: (each.right, each.label))


def _class(
    place: int,
    label: str,
    examples: Examples,
    judged: OutOfFold,
    right: NDArray[np.float64],
    halved: NDArray[np.float64] | None,
) -> ClassReport:
    mine = examples.truth == place
    share, count = float(right[mine].mean()), int(mine.sum())
    gain = more_helps = None
    if halved is not None:
        gains = right[mine] - halved[mine]
        gain = float(gains.mean())
        more_helps = bool(share < 1 and gain > gains.std(ddof=1) / np.sqrt(count))
    return ClassReport(
        label=label,
        examples=count,
        right=share,
        interval=_interval(share, count),
        confused_with=_confused(place, judged, (*examples.labels, NONE)),
        gain=gain,
        more_helps=more_helps,
    )


def shares_right(judged: OutOfFold, examples: int) -> NDArray[np.float64]:
    """(examples,): the share of tests in which each was classified correctly, 0 to 1."""
    asked = np.bincount(judged.asked, minlength=examples)
    right = np.bincount(judged.asked, judged.right, minlength=examples)
    return np.asarray(right / np.maximum(asked, 1))


def _confused(place: int, judged: OutOfFold, labels: Sequence[str]) -> dict[str, float]:
    mine = judged.truth == place
    told = judged.probabilities[mine, : judged.labels].argmax(axis=1)
    wrong = Counter(told[told != place].tolist())
    return {labels[each]: count / int(mine.sum()) for each, count in wrong.most_common()}


def _interval(share: float, count: int) -> Interval | None:
    return wilson(round(share * count), count)


def _mean(flags: NDArray[np.bool_]) -> float | None:
    return float(flags.mean()) if flags.size else None
