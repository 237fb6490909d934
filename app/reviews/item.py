"""What a reviewer is shown."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from app.result import Result
from app.storage.review_rows import ReviewState


class ReviewClass(BaseModel):
    """A class that the picture may show; `none`, for none of these, can always be chosen."""

    label: str = Field(examples=["rose"])
    description: str | None = Field(None, examples=[None])


class ReviewItem(BaseModel):
    """An answer for a person to review."""

    result: Result
    image: str | None = Field(
        description="Path of the picture; null if it was not kept.",
        examples=["/results/cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9/image"],
    )
    classes: list[ReviewClass] = Field(description="The domain's classes, as they are now.")
    state: ReviewState | None = Field(
        description="`open`: it waits for review; `decided`; null: it was never in a queue.",
        examples=["open"],
    )
    skips: int = Field(
        description="How often it was skipped, which puts it behind the others.", examples=[0]
    )
    claimed_by: str | None = Field(
        description="The reviewer who has claimed it until `claimed_until`.", examples=["ada"]
    )
    claimed_until: datetime | None = Field(examples=["2026-01-02T03:09:05.678Z"])
    action: Literal["confirm", "correct", "reject"] | None = Field(
        description="How it was decided.", examples=[None]
    )
    reviewer: str | None = Field(description="Who decided it.", examples=[None])
    decided_at: datetime | None = Field(examples=[None])


class ReviewStepView(BaseModel):
    """One step of a review."""

    action: Literal["confirm", "correct", "reject", "skip", "reopen", "told"] = Field(
        description="`told`: the true class was recorded while the answer waited, which also "
        "decides it.",
        examples=["correct"],
    )
    reviewer: str = Field(examples=["ada"])
    label: str | None = Field(examples=["rose"])
    note: str | None = Field(examples=["half hidden"])
    at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])


class ReviewHistory(ReviewItem):
    """An answer, and the steps of its review, the oldest first."""

    steps: list[ReviewStepView]


class Waiting(BaseModel):
    """How many answers wait for a person."""

    unsure: int = Field(description="Answers that need review.", examples=[12])
    random: int = Field(description="Accepted answers that were drawn at random.", examples=[3])


class NextReviews(BaseModel):
    """The reviewer's answers, and how many wait, including these."""

    reviews: list[ReviewItem]
    waiting: Waiting
    claim_s: float = Field(
        description="Seconds that a claim lasts; asking again renews it.", examples=[300.0]
    )
