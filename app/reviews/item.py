"""What a reviewer is shown."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from app.result import Result
from app.storage.review_rows import ReviewState


class ReviewClass(BaseModel):
    """What the picture may show; `none`, for none of these, may always be said."""

    label: str = Field(examples=["rose"])
    description: str | None = Field(None, examples=[None])


class ReviewItem(BaseModel):
    """An answer that a person looks at."""

    result: Result
    image: str | None = Field(
        description="Path of the picture; null where it was not kept.",
        examples=["/results/cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9/image"],
    )
    classes: list[ReviewClass] = Field(description="Of the domain, as it is now.")
    state: ReviewState | None = Field(
        description="`open`: it waits; `decided`; null: it was never to be reviewed.",
        examples=["open"],
    )
    skips: int = Field(description="How often it was put behind the others.", examples=[0])
    claimed_by: str | None = Field(
        description="The reviewer who has it until `claimed_until`.", examples=["ada"]
    )
    claimed_until: datetime | None = Field(examples=["2026-01-02T03:09:05.678Z"])
    action: Literal["confirm", "correct", "reject"] | None = Field(
        description="How it was decided.", examples=[None]
    )
    reviewer: str | None = Field(description="Who decided.", examples=[None])
    decided_at: datetime | None = Field(examples=[None])


class ReviewStepView(BaseModel):
    """What somebody did."""

    action: Literal["confirm", "correct", "reject", "skip", "reopen", "told"] = Field(
        description="`told`: the true class was told while it waited, which decides it, too.",
        examples=["correct"],
    )
    reviewer: str = Field(examples=["ada"])
    label: str | None = Field(examples=["rose"])
    note: str | None = Field(examples=["half hidden"])
    at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])


class ReviewHistory(ReviewItem):
    """An answer, and who did what, the oldest first."""

    steps: list[ReviewStepView]


class Waiting(BaseModel):
    """Answers that wait for a person."""

    unsure: int = Field(description="That need review.", examples=[12])
    random: int = Field(description="Accepted, and drawn at random.", examples=[3])


class NextReviews(BaseModel):
    """What the reviewer has, and what waits, these included."""

    reviews: list[ReviewItem]
    waiting: Waiting
    claim_s: float = Field(
        description="Seconds that a claim holds; asking again renews it.", examples=[300.0]
    )
