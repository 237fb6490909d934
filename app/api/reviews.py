"""`/reviews`: answers that a person should look at, and what the person says."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.api.dependencies import Caller, Joined
from app.api.raising import Raises
from app.api.results import ResultId
from app.errors import (
    DomainNotFound,
    LabelNotInDomain,
    NotAllowed,
    NothingToReview,
    ReviewDecided,
    ReviewTaken,
)
from app.moment import Moment
from app.reviews import Decision, NextReviews, ReviewHistory, ReviewItem, ReviewStatistics
from app.storage import Reviewer
from app.storage.review_rows import ReviewAction
from app.telemetry.trace import current

router = APIRouter(prefix="/reviews", tags=["reviews"])

MAX_GIVEN = 50

ReviewerName = Annotated[
    Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)] | None,
    Field(
        description="Name of the reviewer, but not `model`; unset: the name of the API key.",
        examples=["ada"],
    ),
]


class ReviewQuery(BaseModel):
    """Whose queue, and how much of it."""

    model_config = ConfigDict(extra="forbid")
    domain: str | None = Field(None, description="Only this domain.", examples=["flowers"])
    limit: int = Field(10, ge=1, le=MAX_GIVEN)
    reviewer: ReviewerName = None
    claim: bool = Field(
        default=True, description="False: only look; others may be given the same answers."
    )


class StatisticsQuery(BaseModel):
    """Of what."""

    model_config = ConfigDict(extra="forbid")
    domain: str | None = Field(None, description="Only this domain.", examples=["flowers"])
    since: Moment | None = Field(None, description="Decided then or later.")
    until: Moment | None = Field(None, description="Decided before.")


class ReviewOrder(BaseModel):
    """A reviewer's decision."""

    model_config = ConfigDict(extra="forbid")
    action: ReviewAction = Field(
        description="`confirm`: the answer is right. `correct`: the picture shows `label`. "
        "`reject`: the picture is unusable, nothing can be said. `skip`: leave it to somebody "
        "else, or for later. `reopen`: undo the decision."
    )
    label: str | None = Field(
        None,
        description="With `correct`: one of the domain's classes, or `none`.",
        examples=["rose"],
    )
    reviewer: ReviewerName = None
    note: str | None = Field(None, max_length=2_000, examples=["half hidden"])


@router.get("")
@Raises(DomainNotFound)
async def next_reviews(
    query: Annotated[ReviewQuery, Query()], response: Response, parts: Joined, caller: Caller
) -> NextReviews:
    """Get answers to review: first those that the reviewer has claimed and not decided, then those
    nearest to the threshold, mixed with accepted ones that were drawn at random. They are claimed
    for a while: nobody else is given them."""
    response.headers["Cache-Control"] = "no-store"
    reviewer = Reviewer(query.reviewer or caller.name, caller.sees, query.domain)
    return await parts.reviews.next(reviewer, query.limit, claim=query.claim)


@router.get("/statistics")
@Raises(DomainNotFound)
async def review_statistics(
    query: Annotated[StatisticsQuery, Query()], response: Response, parts: Joined, caller: Caller
) -> ReviewStatistics:
    """Report what waits, what was decided, how often people agreed with the model, and how accurate
    the answers are that nobody reviews."""
    response.headers["Cache-Control"] = "no-store"
    return await parts.reviews.statistics(
        caller=caller.sees, domain=query.domain, since=query.since, until=query.until
    )


@router.get("/{result_id}")
async def get_review(
    result_id: ResultId, response: Response, parts: Joined, caller: Caller
) -> ReviewHistory:
    """Get a result as a reviewer sees it, and the history of its review."""
    response.headers["Cache-Control"] = "no-store"
    return await parts.reviews.history(result_id, caller=caller.sees)


@router.post("/{result_id}")
@Raises(
    *(DomainNotFound, LabelNotInDomain, NotAllowed),
    *(NothingToReview, ReviewDecided, ReviewTaken),
)
async def review(
    result_id: ResultId, order: ReviewOrder, parts: Joined, caller: Caller
) -> ReviewItem:
    """Decide what a picture shows. Any result that has an answer can be decided, unless another
    reviewer has claimed it; repeating a decision changes nothing."""
    decision = Decision(
        order.action,
        order.reviewer or caller.name,
        order.label,
        order.note,
        is_operator=caller.admin,
    )
    item = await parts.reviews.decide(result_id, decision, caller=caller.sees)
    current().tell(domain=item.result.domain)
    return item
