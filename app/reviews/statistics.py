"""How often people agree with the answers, and how accurate those are that nobody reviews."""

from collections.abc import Iterable, Mapping
from typing import Self

from pydantic import BaseModel, Field

from app.reviews.item import Waiting
from app.storage import ReviewCount
from app.storage.review_rows import Queue, ReviewKind
from app.tally import wilson


class Agreement(BaseModel):
    """How often people agreed with the model, among answers that were decided and not rejected;
    null if there are none."""

    reviewed: int = Field(description="Answers that were decided and not rejected.", examples=[120])
    value: float | None = Field(
        description="Share of them on which the person agreed with the model, 0 to 1.",
        examples=[0.85],
    )
    interval: tuple[float, float] | None = Field(
        description="Where the true share lies with 95 % confidence (Wilson).",
        examples=[(0.775, 0.903)],
    )

    @classmethod
    def of(cls, counts: Iterable[ReviewCount]) -> Self:
        agreed, reviewed = _agreed(counts)
        return cls(
            reviewed=reviewed,
            value=agreed / reviewed if reviewed else None,
            interval=wilson(agreed, reviewed),
        )


class UnseenAccuracy(Agreement):
    """How accurate the accepted answers are that nobody looks at, estimated from those that were
    drawn at random."""

    rejected: int = Field(description="Answers about which nothing could be said.", examples=[2])


class ReviewerCounts(BaseModel):
    """Decisions of one reviewer."""

    reviewer: str = Field(examples=["ada"])
    decided: int = Field(examples=[80])
    agreement: float | None = Field(
        description="Share of decisions that agree with the model, without rejections; null if all "
        "are rejections.",
        examples=[0.9],
    )


class Decided(BaseModel):
    """Number of decisions by action."""

    confirm: int = Field(examples=[102])
    correct: int = Field(examples=[18])
    reject: int = Field(examples=[4])


class AgreementByQueue(BaseModel):
    """Agreement by queue; `asked`: results that were in no queue."""

    unsure: Agreement
    random: Agreement
    asked: Agreement


class ReviewStatistics(BaseModel):
    """What waits now, and what was decided in a period."""

    waiting: Waiting
    decided: Decided
    reviewers: list[ReviewerCounts] = Field(
        description="Reviewers, the one with the most decisions first."
    )
    agreement: AgreementByQueue
    unseen_accuracy: UnseenAccuracy

    @classmethod
    def of(cls, counts: list[ReviewCount], waiting: Mapping[Queue, int]) -> Self:
        random = _of_kind(counts, "random")
        return cls(
            waiting=Waiting(unsure=waiting["unsure"], random=waiting["random"]),
            decided=Decided(
                confirm=_total(counts, "confirm"),
                correct=_total(counts, "correct"),
                reject=_total(counts, "reject"),
            ),
            reviewers=_by_reviewer(counts),
            agreement=AgreementByQueue(
                unsure=Agreement.of(_of_kind(counts, "unsure")),
                random=Agreement.of(random),
                asked=Agreement.of(_of_kind(counts, "asked")),
            ),
            unseen_accuracy=UnseenAccuracy(
                **dict(Agreement.of(random)), rejected=_total(random, "reject")
            ),
        )


def _by_reviewer(counts: list[ReviewCount]) -> list[ReviewerCounts]:
    found = []
    for name in {each.reviewer for each in counts}:
        mine = [each for each in counts if each.reviewer == name]
        agreed, reviewed = _agreed(mine)
        found.append(
            ReviewerCounts(
                reviewer=name,
                decided=sum(each.times for each in mine),
                agreement=agreed / reviewed if reviewed else None,
            )
        )
    return sorted(found, key=lambda each: (-each.decided, each.reviewer))


def _agreed(counts: Iterable[ReviewCount]) -> tuple[int, int]:
    """How many agreed, and out of how many."""
    known = [each for each in counts if each.action != "reject"]
    agreed = sum(each.times for each in known if each.action == "confirm")
    return agreed, sum(each.times for each in known)


def _total(counts: Iterable[ReviewCount], action: str) -> int:
    return sum(each.times for each in counts if each.action == action)


def _of_kind(counts: Iterable[ReviewCount], kind: ReviewKind) -> list[ReviewCount]:
    return [each for each in counts if each.kind == kind]
