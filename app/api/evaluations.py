"""`/evaluations`: how good labelled answers were."""

from typing import Annotated, Any, Self

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api.dependencies import Caller, Joined
from app.api.paging import NextCursor, cut, page_cursor
from app.api.raising import Raises
from app.errors import (
    BatchNotFound,
    DomainNotFound,
    EvaluationNotFound,
    NothingLabelled,
    Overloaded,
)
from app.evaluation import Evaluation, ShortEvaluation, Wanted
from app.identifiers import BATCH_PATTERN, EVALUATION_PATTERN
from app.moment import Moment
from app.telemetry.trace import current

router = APIRouter(prefix="/evaluations", tags=["evaluations"])

MAX_PAGE = 100

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

EvaluationId = Annotated[
    str,
    Path(pattern=EVALUATION_PATTERN, examples=["evl_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"]),
    Raises(EvaluationNotFound),
]
AS_PAGE: dict[str, Any] = {"text/html": {"schema": {"type": "string"}}}


class EvaluationOrder(BaseModel):
    """Which labelled results to evaluate: those of a batch, or of a period and a provider."""

    model_config = ConfigDict(extra="forbid")
    domain: str = Field(examples=["flowers"])
    batch_id: str | None = Field(None, pattern=BATCH_PATTERN, examples=[None])
    since: Moment | None = Field(None, description="Requested then or later.")
    until: Moment | None = Field(None, description="Requested before.")
    provider: str | None = Field(None, examples=["local"])
    name: str | None = Field(None, min_length=1, max_length=200, examples=["after the new prompt"])
    compare_with: str | None = Field(
        None,
        pattern=EVALUATION_PATTERN,
        description="An earlier evaluation to compare with: what became better, and what worse.",
        examples=[None],
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.batch_id is not None and (self.since or self.until or self.provider):
            raise ValueError("batch_id goes without since, until and provider")
        return self


class EvaluationQuery(BaseModel):
    """Which evaluations, and where a page begins."""

    model_config = ConfigDict(extra="forbid")
    domain: str | None = Field(None, examples=["flowers"])
    cursor: str | None = page_cursor(EVALUATION_PATTERN)
    limit: int = Field(50, ge=1, le=MAX_PAGE)


class EvaluationPage(BaseModel):
    """Evaluations, the newest first."""

    evaluations: list[ShortEvaluation]
    next_cursor: NextCursor


@router.post("", status_code=201)
@Raises(BatchNotFound, DomainNotFound, EvaluationNotFound, NothingLabelled, Overloaded)
async def evaluate(
    order: EvaluationOrder, response: Response, parts: Joined, caller: Caller
) -> Evaluation:
    """Evaluate results whose true class is known, the newest 50,000 at most; no provider is asked
    again. The evaluation is kept until it is deleted, even when the results are gone."""
    current().tell(domain=order.domain)
    wanted = Wanted(
        domain=order.domain,
        caller=caller.sees,
        **order.model_dump(include={"batch_id", "since", "until", "provider"}),
    )
    made = await parts.evaluations.judge(
        wanted, caller=caller.name, name=order.name, compare_with=order.compare_with
    )
    response.headers["Location"] = f"/evaluations/{made.id}"
    return made


@router.get("")
async def list_evaluations(
    query: Annotated[EvaluationQuery, Query()], parts: Joined, caller: Caller
) -> EvaluationPage:
    """List evaluations, the newest first, page by page."""
    found = await parts.evaluations.page(
        query.domain, caller=caller.sees, before=query.cursor, limit=query.limit + 1
    )
    page, last = cut(found, query.limit)
    return EvaluationPage(evaluations=page, next_cursor=last.id if last else None)


@router.get("/{evaluation_id}")
async def get_evaluation(evaluation_id: EvaluationId, parts: Joined, caller: Caller) -> Evaluation:
    """Get one evaluation."""
    return await parts.evaluations.get(evaluation_id, caller=caller.sees)


@router.get(
    "/{evaluation_id}/report",
    response_class=HTMLResponse,
    responses={200: {"content": AS_PAGE}},
)
async def get_report(evaluation_id: EvaluationId, parts: Joined, caller: Caller) -> HTMLResponse:
    """Get the evaluation as an HTML page, with those pictures that are still kept."""
    text = await parts.evaluations.as_page(evaluation_id, caller=caller.sees)
    return HTMLResponse(text, headers={"Content-Security-Policy": POLICY})


@router.delete("/{evaluation_id}", status_code=204)
async def delete_evaluation(evaluation_id: EvaluationId, parts: Joined, caller: Caller) -> None:
    """Delete an evaluation."""
    await parts.evaluations.delete(evaluation_id, caller=caller.sees)
