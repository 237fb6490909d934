"""`/batches`: bulk work."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from app.api.dependencies import Caller, Joined
from app.api.forms import parsed_json, validated
from app.batches import BatchOptions
from app.batches.manifest import ManifestRow, read_row
from app.batches.sources import Files
from app.errors import (
    BatchOver,
    BatchTooLarge,
    InvalidRequest,
    UnsupportedContentType,
)
from app.exports import MEDIA_TYPES, Format, Found, write
from app.identifiers import BATCH_PATTERN
from app.parts import Parts
from app.storage import BatchItem, BatchRow, BatchStatus, Result
from app.storage.results import UsdAmount

router = APIRouter(prefix="/batches", tags=["batches"])

MAX_PAGE = 1_000
MAX_JSON = 32_000_000
"""Bytes of a list of items as JSON; longer ones come as files."""
MAX_FILES = 10_000
MAX_FIELDS = 20

EXPORTED_AT_ONCE = 500
"""Items held at a time."""

LOOKED_AT_EVERY_S = 0.5
"""Between two looks at a batch that somebody follows."""

BatchId = Annotated[str, Path(pattern=BATCH_PATTERN, examples=["bat_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])]


class BatchJson(BatchOptions):
    """A list of pictures by their URLs."""

    items: list[Any] = Field(min_length=1, description="Pictures, as in the rows of a manifest.")


class ItemCounts(BaseModel):
    """Items by what became of them."""

    waiting: int = Field(examples=[40])
    accepted: int = Field(examples=[51])
    needs_review: int = Field(examples=[8])
    failed: int = Field(examples=[1])


class BatchReport(BaseModel):
    """A batch, and how far it is."""

    id: str = Field(examples=["bat_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])
    name: str | None = Field(examples=["March returns"])
    domain: str = Field(examples=["flowers"])
    provider: str | None = Field(examples=[None])
    lane: Literal["interactive", "batch"] = Field(examples=["batch"])
    batch_size: int = Field(examples=[10])
    on_error: Literal["continue", "stop"] = Field(examples=["continue"])
    deadline: datetime | None = Field(examples=[None])
    caller: str = Field(examples=["anonymous"])
    status: BatchStatus = Field(examples=["running"])
    reason: str | None = Field(description="Why it ended early.", examples=[None])
    total: int = Field(description="Items.", examples=[100])
    duplicates: int = Field(description="Items whose picture is there before.", examples=[3])
    bad_rows: int = Field(description="What is no item: see `errors`.", examples=[0])
    counts: ItemCounts
    done: int = Field(description="Items with a result.", examples=[60])
    per_second: float | None = Field(description="Items, since it began.", examples=[9.8])
    eta_s: float | None = Field(description="Seconds until it is done, about.", examples=[4.1])
    prompt_tokens: int = Field(examples=[12_840])
    completion_tokens: int = Field(examples=[300])
    cost_usd: UsdAmount = Field(description="So far, in US dollars.", examples=[0.0351])
    projected_cost_usd: UsdAmount | None = Field(
        description="All of it, as it went so far.", examples=[0.0585]
    )
    accuracy: float | None = Field(
        description="Share of right answers among those whose true class is known.",
        examples=[0.97],
    )
    created_at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])
    started_at: datetime | None = Field(examples=["2026-01-02T03:04:05.779Z"])
    completed_at: datetime | None = Field(examples=[None])

    @classmethod
    def of(cls, batch: BatchRow) -> Self:
        seconds = _seconds(batch)
        per_second = batch.done / seconds if seconds and batch.done else None
        left = batch.total - batch.done
        return cls(
            **{name: getattr(batch, name) for name in _SAME},
            counts=ItemCounts(
                waiting=left,
                accepted=batch.accepted,
                needs_review=batch.needs_review,
                failed=batch.failed,
            ),
            per_second=None if per_second is None else round(per_second, 3),
            eta_s=round(left / per_second, 1) if per_second and not batch.is_over else None,
            projected_cost_usd=batch.cost_usd * batch.total / batch.done if batch.done else None,
            accuracy=batch.correct / batch.expected if batch.expected else None,
        )


_SAME = BatchReport.model_fields.keys() - {
    *("counts", "per_second", "eta_s", "projected_cost_usd", "accuracy")
}


class BatchPage(BaseModel):
    """Batches, the newest first."""

    batches: list[BatchReport]
    next_cursor: str | None = Field(
        description="Send it as `cursor` to go on; null on the last page.", examples=[None]
    )


class ItemReport(BaseModel):
    """An item, and its result when there is one."""

    number: int = Field(description="Its place in the batch, from 0.", examples=[0])
    item_id: str = Field(examples=["rose-17"])
    same_as: int | None = Field(
        description="The number of an earlier item with the same picture.", examples=[None]
    )
    result: Result | None

    @classmethod
    def of(cls, item: BatchItem, result: Result | None) -> Self:
        return cls(number=item.number, item_id=item.item_id, same_as=item.same_as, result=result)


class ItemPage(BaseModel):
    """Items in their order."""

    items: list[ItemReport]
    next_after: int | None = Field(
        description="Send it as `after` to go on; null on the last page.", examples=[None]
    )


class BadRowReport(BaseModel):
    """What could not be taken for an item."""

    number: int = Field(examples=[0])
    place: str = Field(description="A line, or a file's name.", examples=["line 7"])
    reason: str = Field(examples=["image_url: is no http or https URL"])


class BadRowPage(BaseModel):
    """Bad rows in their order."""

    errors: list[BadRowReport]
    next_after: int | None = Field(examples=[None])


class After(BaseModel):
    """Where a page begins."""

    model_config = ConfigDict(extra="forbid")
    after: int = Field(-1, ge=-1, description="The number of the last one that is known.")
    limit: int = Field(100, ge=1, le=MAX_PAGE)


class BatchChange(BaseModel):
    """What can be changed of a batch."""

    model_config = ConfigDict(extra="forbid")
    lane: Literal["interactive", "batch"] = Field(examples=["interactive"])


class BatchQuery(BaseModel):
    """Where a page begins."""

    model_config = ConfigDict(extra="forbid")
    cursor: str | None = Field(None, pattern=BATCH_PATTERN, description="`next_cursor`.")
    limit: int = Field(100, ge=1, le=MAX_PAGE)


def _request_body() -> dict[str, Any]:
    form = BatchOptions.model_json_schema()
    form["properties"] = {
        "file": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "Pictures, ZIPs of pictures, JSON Lines (`.jsonl`) and CSV (`.csv`).",
        },
        **form["properties"],
    }
    form["required"] = ["file", "domain"]
    listed = BatchJson.model_json_schema()
    listed["properties"]["items"]["items"] = ManifestRow.model_json_schema()
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form},
            "application/json": {"schema": listed},
        },
    }


@router.post("", status_code=202, openapi_extra={"requestBody": _request_body()})
async def create_batch(
    request: Request, response: Response, parts: Joined, caller: Caller
) -> BatchReport:
    """Take in a batch: a list of URLs, or files. It begins at once; see `Location` for how far it
    is. Rows that are no items are told under `errors`, and the rest runs."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        batch = await _take_form(request, parts, caller.name)
    elif kind == "application/json" or kind.endswith("+json"):
        batch = await _take_json(request, parts, caller.name)
    else:
        raise UnsupportedContentType("Send multipart/form-data or application/json.")
    await parts.runner.go_on(batch.id)
    response.headers["Location"] = f"/batches/{batch.id}"
    return BatchReport.of(batch)


@router.get("")
async def list_batches(
    query: Annotated[BatchQuery, Query()], parts: Joined, caller: Caller
) -> BatchPage:
    """Batches, the newest first, page by page."""
    found = await parts.batches.page(caller=caller.sees, before=query.cursor, limit=query.limit + 1)
    page = found[: query.limit]
    return BatchPage(
        batches=[BatchReport.of(each) for each in page],
        next_cursor=page[-1].id if len(found) > query.limit else None,
    )


@router.get("/{batch_id}")
async def get_batch(batch_id: BatchId, parts: Joined, caller: Caller) -> BatchReport:
    """How far a batch is."""
    return BatchReport.of(await parts.batches.get(batch_id, caller=caller.sees))


@router.get("/{batch_id}/items")
async def list_items(
    batch_id: BatchId, query: Annotated[After, Query()], parts: Joined, caller: Caller
) -> ItemPage:
    """Items in their order, with the results that are there, at any time."""
    await parts.batches.get(batch_id, caller=caller.sees)
    found = await parts.batches.items(batch_id, after=query.after, limit=query.limit)
    items = [ItemReport.of(item, result) for item, result in found]
    return ItemPage(items=items, next_after=items[-1].number if len(items) == query.limit else None)


@router.get("/{batch_id}/errors")
async def list_errors(
    batch_id: BatchId, query: Annotated[After, Query()], parts: Joined, caller: Caller
) -> BadRowPage:
    """Rows and files that are no items, and why."""
    await parts.batches.get(batch_id, caller=caller.sees)
    found = await parts.batches.bad_rows(batch_id, after=query.after, limit=query.limit)
    errors = [
        BadRowReport(number=each.number, place=each.place, reason=each.reason) for each in found
    ]
    return BadRowPage(
        errors=errors, next_after=errors[-1].number if len(errors) == query.limit else None
    )


@router.get("/{batch_id}/export", response_class=StreamingResponse)
async def export_batch(
    batch_id: BatchId,
    parts: Joined,
    caller: Caller,
    form: Annotated[Format, Query(alias="format", description="Of the rows.")] = "json",
) -> StreamingResponse:
    """All items with their results so far, one row each."""
    await parts.batches.get(batch_id, caller=caller.sees)
    return StreamingResponse(
        write(_pages(parts, batch_id), form),
        media_type=MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="{batch_id}.{form}"'},
    )


@router.get("/{batch_id}/events", response_class=StreamingResponse)
async def follow_batch(
    batch_id: BatchId,
    parts: Joined,
    caller: Caller,
    last_event_id: Annotated[str | None, Header(description="What was seen last.")] = None,
) -> StreamingResponse:
    """Server-sent events `progress`, each the whole report, until the batch is over. Its `id` is
    what to send as `Last-Event-ID` to see only what is new."""
    await parts.batches.get(batch_id, caller=caller.sees)
    return StreamingResponse(
        _events(parts, batch_id, last_event_id), media_type="text/event-stream"
    )


@router.post("/{batch_id}/pause")
async def pause_batch(batch_id: BatchId, parts: Joined, caller: Caller) -> BatchReport:
    """Take no more pictures; those under way are answered."""
    return await _changed(parts, batch_id, caller.sees, "paused", of=("queued", "running"))


@router.post("/{batch_id}/resume")
async def resume_batch(batch_id: BatchId, parts: Joined, caller: Caller) -> BatchReport:
    """Go on with a paused batch."""
    report = await _changed(parts, batch_id, caller.sees, "running", of=("paused",))
    await parts.runner.go_on(batch_id)
    return report


@router.post("/{batch_id}/cancel")
async def cancel_batch(batch_id: BatchId, parts: Joined, caller: Caller) -> BatchReport:
    """End it; what is answered stays."""
    return await _changed(
        parts, batch_id, caller.sees, "cancelled", of=("queued", "running", "paused")
    )


@router.post("/{batch_id}/retry")
async def retry_batch(batch_id: BatchId, parts: Joined, caller: Caller) -> BatchReport:
    """Classify again what failed, and what is left of a batch that was ended early."""
    batch = await parts.batches.get(batch_id, caller=caller.sees)
    if not batch.is_over:
        raise BatchOver(f"The batch is {batch.status}: it has to end first.")
    await parts.batches.retry_failed(batch_id)
    await parts.runner.go_on(batch_id)
    return BatchReport.of(await parts.batches.get(batch_id))


@router.patch("/{batch_id}")
async def change_batch(
    batch_id: BatchId, change: BatchChange, parts: Joined, caller: Caller
) -> BatchReport:
    """Make it more or less urgent, also while it runs."""
    await parts.batches.get(batch_id, caller=caller.sees)
    await parts.runner.change_lane(batch_id, change.lane)
    return BatchReport.of(await parts.batches.get(batch_id))


async def _changed(
    parts: Parts,
    batch_id: str,
    caller: str | None,
    status: BatchStatus,
    *,
    of: tuple[BatchStatus, ...],
) -> BatchReport:
    """Raises BatchNotFound, BatchOver."""
    batch = await parts.batches.get(batch_id, caller=caller)
    if not await parts.runner.change_status(batch_id, status, of=of):
        raise BatchOver(f"The batch is {batch.status}, not {' or '.join(of)}.")
    return BatchReport.of(await parts.batches.get(batch_id))


async def _pages(parts: Parts, batch_id: str) -> AsyncIterator[list[Found]]:
    after = -1
    while page := await parts.batches.items(batch_id, after=after, limit=EXPORTED_AT_ONCE):
        yield page
        after = page[-1][0].number


async def _events(parts: Parts, batch_id: str, seen: str | None) -> AsyncIterator[bytes]:
    while True:
        batch = await parts.batches.get(batch_id)
        report = BatchReport.of(batch)
        event_id = f"{batch.status}-{batch.lane}-{batch.done}"
        if event_id != seen:
            yield f"id: {event_id}\nevent: progress\ndata: {report.model_dump_json()}\n\n".encode()
            seen = event_id
        if batch.is_over or parts.health.state == "draining":
            return
        await asyncio.sleep(LOOKED_AT_EVERY_S)


async def _take_json(request: Request, parts: Parts, caller: str) -> BatchRow:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_JSON:
            raise BatchTooLarge("The list is too long for JSON: send it as a file.")
    body = validated(BatchJson, await parsed_json(bytes(content), "body"))
    options = BatchOptions(**body.model_dump(exclude={"items"}))
    rows = (
        read_row(f"item {number}", each, domain=options.domain)
        for number, each in enumerate(body.items)
    )
    return await parts.taking_in.take(options, rows, caller=caller)


async def _take_form(request: Request, parts: Parts, caller: str) -> BatchRow:
    try:
        async with request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS) as form:
            options = validated(BatchOptions, _texts(form))
            labels = frozenset(parts.domains.get(options.domain).labels)
            files = [each for each in form.getlist("file") if isinstance(each, UploadFile)]
            if not files:
                raise InvalidRequest("file: is missing.")
            reader = Files(parts.settings, options, labels)
            rows = chain.from_iterable(
                reader.rows(each.filename or "file", each.file) for each in files
            )
            return await parts.taking_in.take(options, rows, caller=caller)
    except HTTPException as error:
        if error.status_code != 400:
            raise
        raise InvalidRequest(f"The form can't be read: {error.detail}") from error
    except (UnicodeError, LookupError):
        raise InvalidRequest("The form's text is in a character set that can't be read.") from None


def _texts(form: FormData) -> dict[str, Any]:
    texts: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name == "file":
            continue
        if isinstance(value, UploadFile):
            raise InvalidRequest(f"{name[:64]}: files go into the field `file`.")
        if name in texts:
            raise InvalidRequest(f"{name[:64]}: is there twice.")
        if value != "":  # as Swagger UI sends what was left empty
            texts[name] = value
    return texts


def _seconds(batch: BatchRow) -> float:
    """That it has been worked on."""
    if batch.started_at is None:
        return 0.0
    return ((batch.completed_at or datetime.now(UTC)) - batch.started_at).total_seconds()
