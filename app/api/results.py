"""`/results`: what was answered."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from app.api import security
from app.api.dependencies import Caller, Joined
from app.api.exports import AS_EXPORT, Exported, ExportOrder, ExportQuery
from app.api.paging import Limit, NextCursor, cut, page_cursor
from app.api.prediction_sets import Coverage, ResultWithSet, with_set
from app.api.raising import Raises
from app.classification import check_label
from app.errors import (
    DomainNotFound,
    LabelNotInDomain,
    Overloaded,
    PictureNotKept,
    ResultNotFound,
    UrlRefused,
)
from app.exports import fields, reading
from app.identifiers import RESULT_PATTERN
from app.moment import Moment
from app.result import Result, Status
from app.storage import ResultFilter
from app.telemetry.trace import current

router = APIRouter(prefix="/results", tags=["results"])

MAX_WAIT_S = 60

AS_JPEG: dict[str, Any] = {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}
IMAGE_HEADERS = {
    "Cache-Control": "private, max-age=3600",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}

ResultId = Annotated[
    str,
    Path(pattern=RESULT_PATTERN, examples=["cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"]),
    Raises(ResultNotFound),
]


class ResultPage(BaseModel):
    """Results, the newest first."""

    results: list[Result]
    next_cursor: NextCursor


class Expected(BaseModel):
    """The true class of a picture."""

    model_config = ConfigDict(extra="forbid")
    label: str = Field(description="One of the domain's classes, or `none`.", examples=["rose"])


class ResultConditions(BaseModel):
    """Which results; what is not given is not asked."""

    model_config = ConfigDict(extra="forbid")
    domain: str | None = Field(None, examples=["flowers"])
    class_: str | None = Field(None, alias="class", description="The predicted class.")
    status: Status | None = None
    provider: str | None = Field(None, examples=["local"])
    caller: str | None = Field(
        None, description="Only this caller's results, for operators; others see only their own."
    )
    min_confidence: float | None = Field(None, ge=0, le=1)
    max_confidence: float | None = Field(None, ge=0, le=1)
    since: Moment | None = Field(None, description="Requested then or later.")
    until: Moment | None = Field(None, description="Requested before.")
    similar_to: str | None = Field(
        None,
        pattern=RESULT_PATTERN,
        description="Id of a result: only results whose picture looks nearly the same.",
    )

    def wanted(self, caller: security.Caller) -> ResultFilter:
        return ResultFilter(
            domain=self.domain,
            predicted_class=self.class_,
            status=self.status,
            provider=self.provider,
            caller=self.caller if caller.admin else caller.name,
            min_confidence=self.min_confidence,
            max_confidence=self.max_confidence,
            since=self.since,
            until=self.until,
            similar_to=self.similar_to,
        )


class ResultQuery(ResultConditions):
    """Which results, and where a page begins."""

    cursor: str | None = page_cursor(RESULT_PATTERN)
    limit: Limit = 100


class ResultExport(ResultConditions, ExportQuery):
    """Which results, and as what file."""


@router.get("")
@Raises(ResultNotFound)
async def list_results(
    query: Annotated[ResultQuery, Query()], parts: Joined, caller: Caller
) -> ResultPage:
    """List results, the newest first, page by page."""
    wanted = query.wanted(caller)
    found = await parts.results.page(wanted, before=query.cursor, limit=query.limit + 1)
    page, last = cut(found, query.limit)
    return ResultPage(results=page, next_cursor=last.id if last else None)


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"content": AS_EXPORT}},
)
@Raises(ResultNotFound)
async def export_results(
    request: Request,
    query: Annotated[ResultExport, Query()],
    parts: Joined,
    caller: Caller,
) -> StreamingResponse:
    """Export all results, the newest first, as a file."""
    wanted = query.wanted(caller)
    columns = await query.chosen(partial(parts.exports.keys_of_results, wanted))
    pages = parts.exports.results(wanted, fields(columns))
    return await query.download(request, "results", columns, pages, row=reading(columns))


@router.post("/export", status_code=201)
@Raises(ResultNotFound, UrlRefused)
async def put_export(
    query: Annotated[ResultConditions, Query()],
    order: ExportOrder,
    parts: Joined,
    caller: Caller,
) -> Exported:
    """Write the export to an object store. The response is sent once the file is there."""
    wanted = query.wanted(caller)
    columns = await order.chosen(partial(parts.exports.keys_of_results, wanted))
    pages = parts.exports.results(wanted, fields(columns))
    return await order.put(parts.targets, columns, pages, row=reading(columns))


@router.get("/{result_id}")
async def get_result(
    result_id: ResultId,
    parts: Joined,
    caller: Caller,
    wait: Annotated[
        float,
        Query(ge=0, le=MAX_WAIT_S, description="Seconds to wait for a pending result."),
    ] = 0,
    coverage: Coverage = None,
) -> ResultWithSet:
    """Get one result. With `wait`, the response is delayed until the result is there or the time is
    up."""
    result = await parts.results.get(result_id, caller=caller.sees)
    if result.is_pending and wait:
        await parts.running.wait_for(result_id, seconds=wait)
        result = await parts.results.get(result_id, caller=caller.sees)
    return await with_set(result, coverage, parts.calibrations)


@router.delete("/{result_id}", status_code=204)
async def delete_result(result_id: ResultId, parts: Joined, caller: Caller) -> None:
    """Erase a result, with everything that it left: docs/erasure.md lists what is erased and what
    stays."""
    await parts.erasing.result(result_id, caller=caller.sees, by=caller.by)


@router.put("/{result_id}/expected", status_code=204)
@Raises(DomainNotFound, LabelNotInDomain)
async def set_expected(
    result_id: ResultId, expected: Expected, parts: Joined, caller: Caller
) -> None:
    """Record what the picture really shows, for accuracy, calibration and thresholds. If the answer
    waits for a review, this decides it."""
    result = await parts.results.get(result_id, caller=caller.sees)
    check_label(expected.label, await parts.domains.find(result.domain))
    labelled = await parts.results.set_expected(
        result_id, expected.label, caller=caller.sees, teller=caller.name
    )
    current().tell(domain=result.domain)
    if labelled.is_right is not None and result.expected != expected.label:
        parts.metrics.label(labelled)


@router.get(
    "/{result_id}/image",
    response_class=Response,
    responses={200: {"content": AS_JPEG}},
)
@Raises(Overloaded, PictureNotKept)
async def get_image(result_id: ResultId, parts: Joined, caller: Caller) -> Response:
    """Get the picture as a model saw it, as long as it is kept: for answers that were queued for
    review or learned from, and for uploads of batches."""
    result = await parts.results.get(result_id, caller=caller.sees)
    data = await parts.pictures.jpeg(result)
    return Response(data, media_type="image/jpeg", headers=IMAGE_HEADERS)
