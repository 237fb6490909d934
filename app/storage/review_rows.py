"""Rows of a review, and of the steps taken in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args

from app.result import LabelSource

Queue = Literal["unsure", "random"]
QUEUES: tuple[Queue, ...] = get_args(Queue)
UNSEEN = 1.0
"""Added to the rank of a review without a picture, so that it comes after all with one."""
ReviewKind = Literal["unsure", "random", "asked"]
"""`asked`: a person reviewed a result that was in no queue."""
ReviewState = Literal["open", "decided"]
ReviewAction = Literal["confirm", "correct", "reject", "skip", "reopen"]

STANDING = ("expected", "expected_source", "final_class", "decided_by")
"""Fields of a result that a review changes."""

TOLD = "told"
"""A step: the true class was given without a review, by a caller who may do so."""


@dataclass(frozen=True, slots=True)
class ToReview:
    """A result to be reviewed.

    Attributes:
        status: of the result; if a different one is stored, it is not queued.
        share: the probability with which it was drawn, 0 to 1.
        rank: lower ranks come first.
        picture: its name in the blob store.
    """

    result_id: str
    status: str
    kind: Queue
    share: float
    rank: float
    picture: str | None


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """
    Attributes:
        skips: how often it was put behind the others.
        claimed_by: the reviewer who has it until `claimed_until`.
        action: the decision: confirm, correct or reject.
        learned: the label with which its picture is an example.
    """

    result_id: str
    caller: str
    domain: str
    kind: ReviewKind
    share: float
    rank: float
    picture: str | None
    state: ReviewState
    created_at: datetime
    skips: int = 0
    claimed_by: str | None = None
    claimed_until: datetime | None = None
    action: str | None = None
    label: str | None = None
    reviewer: str | None = None
    decided_at: datetime | None = None
    learned: str | None = None

    def is_claimed(self, now: datetime) -> bool:
        return self.claimed_until is not None and self.claimed_until > now


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Who reviews, and restricted to what: None means all."""

    name: str
    caller: str | None = None
    domain: str | None = None


@dataclass(frozen=True, slots=True)
class ReviewStep:
    """
    Attributes:
        before: the result's STANDING fields before it.
    """

    id: str
    result_id: str
    reviewer: str
    action: str
    label: str | None
    note: str | None
    before: Mapping[str, Any] | None
    at: datetime


class ReviewCount(NamedTuple):
    """How many reviews were decided this way."""

    kind: ReviewKind
    action: str
    reviewer: str
    times: int


def source_of(kind: ReviewKind | None, action: str) -> LabelSource:
    """Source of a label set by a step. The random sample stays representative of all accepted
    answers only if labels from callers count in it, too."""
    if kind == "random":
        return "random_review"
    return "later" if action == TOLD else "review"
