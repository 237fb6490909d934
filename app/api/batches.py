"""`/batches`: bulk work."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import astuple
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from app.api.batch_reports import (
    After,
    BadRowPage,
    BadRowQuery,
    BadRowReport,
    BatchChange,
    BatchPage,
    BatchQuery,
    ItemPage,
    ItemReport,
)
from app.api.batch_requests import read_batch, request_body
from app.api.dependencies import Caller, IdempotencyKey, Joined
from app.api.exports import AS_EXPORT, AS_TEXT, Exported, ExportOrder, ExportQuery
from app.api.paging import cut
from app.api.raising import Raises
from app.batches import BatchEstimate
from app.errors import (
    ArchiveRefused,
    BatchNotFound,
    BatchOver,
    BatchTooLarge,
    BudgetSpent,
    DomainNotFound,
    IdempotencyKeyInUse,
    Overloaded,
    ProviderUnknown,
    UnsupportedContentType,
    UrlRefused,
    UrlTooLarge,
    UrlUnreachable,
)
from app.exports import BAD_ROWS, fields, reading
from app.identifiers import BATCH_PATTERN
from app.parts import Parts
from app.storage import BatchReport, BatchStatus
from app.storage.batch_rows import UNFINISHED

router = APIRouter(prefix="/batches", tags=["batches"])

LOOKED_AT_EVERY_S = 0.5
"""Seconds between two looks at a batch that a client follows."""

KEPT_ALIVE_S = 15.0
"""Seconds of silence, at most, for a client that follows a batch."""

EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "event": {"const": "progress"},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["id", "event", "data"],
}
"""What a client that follows a batch is sent, for OpenAPI."""

BatchId = Annotated[
    str,
    Path(pattern=BATCH_PATTERN, examples=["bat_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"]),
    Raises(BatchNotFound),
]


@router.post(
    "",
    status_code=202,
    response_model=BatchReport,
    responses={200: {"model": BatchEstimate, "description": "The estimate, with `dry_run`."}},
    openapi_extra={"requestBody": request_body()},
)
@Raises(
    *(ArchiveRefused, BatchNotFound, BatchTooLarge, BudgetSpent, DomainNotFound),
    *(IdempotencyKeyInUse, Overloaded, ProviderUnknown, UnsupportedContentType),
    *(UrlRefused, UrlTooLarge, UrlUnreachable),
)
async def create_batch(
    request: Request,
    response: Response,
    parts: Joined,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> BatchReport | Response:
    """Create a batch from a list of URLs, files or a storage URI. It starts at once; `Location` has
    its progress. Rows that are not valid items are listed under `errors`, and the rest runs. With
    `dry_run`, its cost is only estimated."""
    async with read_batch(request, parts) as sent:
        options, rows, threads = sent.options, sent.rows, sent.threads
        if options.callback_url is not None:
            place = await parts.webhooks.use_callback(caller.name, options.callback_url)
            options = options.model_copy(update={"callback_url": place})
        if options.dry_run:
            estimate = await parts.estimator.estimate(
                options,
                rows,
                caller=caller.name,
                operator=caller.sees is None,
                threads=threads,
            )
            return JSONResponse(estimate.model_dump(mode="json", by_alias=True))
        if idempotency_key is None:
            batch = await parts.taking_in.take(options, rows, caller=caller.name, threads=threads)
        else:
            batch = await parts.taking_in.take_once(
                options,
                rows,
                caller=caller.name,
                key=idempotency_key,
                fingerprint=await asyncio.to_thread(sent.fingerprint),
                threads=threads,
            )
    await parts.runner.go_on(batch.id)
    response.headers["Location"] = f"/batches/{batch.id}"
    return parts.batches.report(batch)


@router.get("")
async def list_batches(
    query: Annotated[BatchQuery, Query()], parts: Joined, caller: Caller
) -> BatchPage:
    """List batches, the newest first, page by page."""
    found = await parts.batches.page(
        query.status, caller=caller.sees, before=query.cursor, limit=query.limit + 1
    )
    page, last = cut(found, query.limit)
    return BatchPage(
        batches=[parts.batches.report(each) for each in page], next_cursor=last.id if last else None
    )


@router.get("/{batch_id}")
async def get_batch(batch_id: BatchId, parts: Joined, caller: Caller) -> BatchReport:
    """Get a batch and its progress."""
    return parts.batches.report(await parts.batches.get(batch_id, caller=caller.sees))


@router.get("/{batch_id}/items")
async def list_items(
    batch_id: BatchId, query: Annotated[After, Query()], parts: Joined, caller: Caller
) -> ItemPage:
    """List items in order, with the results so far, at any time."""
    await parts.batches.get(batch_id, caller=caller.sees)
    found = await parts.batches.items(batch_id, after=query.after, limit=query.limit + 1)
    items = [ItemReport.of(item, result) for item, result in found]
    page, last = cut(items, query.limit)
    return ItemPage(items=page, next_after=last.number if last else None)


@router.delete("/{batch_id}", status_code=204)
@Raises(BatchOver)
async def delete_batch(batch_id: BatchId, parts: Joined, caller: Caller) -> None:
    """Delete a batch, with its items and their results. It must be over or cancelled."""
    await parts.batches.get(batch_id, caller=caller.sees)
    if not await parts.retention.delete_batch(batch_id):
        batch = await parts.batches.get(batch_id)
        raise BatchOver(f"The batch is {batch.status}: cancel it first.")


@router.get(
    "/{batch_id}/errors",
    response_model=BadRowPage,
    responses={200: {"content": AS_TEXT}},
)
async def list_errors(
    request: Request,
    batch_id: BatchId,
    query: Annotated[BadRowQuery, Query()],
    parts: Joined,
    caller: Caller,
) -> BadRowPage | StreamingResponse:
    """List rows and files that are not valid items, and why."""
    await parts.batches.get(batch_id, caller=caller.sees)
    if query.form != "json":
        rows = parts.batches.all_bad_rows(batch_id)
        return await query.download(request, f"{batch_id}-errors", BAD_ROWS, rows, row=astuple)
    found = await parts.batches.bad_rows(batch_id, after=query.after, limit=query.limit + 1)
    page, last = cut(found, query.limit)
    errors = [
        BadRowReport(number=each.number, place=each.place, reason=each.reason) for each in page
    ]
    return BadRowPage(errors=errors, next_after=last.number if last else None)


@router.get(
    "/{batch_id}/export",
    response_class=StreamingResponse,
    responses={200: {"content": AS_EXPORT}},
)
async def export_batch(
    request: Request,
    batch_id: BatchId,
    query: Annotated[ExportQuery, Query()],
    parts: Joined,
    caller: Caller,
) -> StreamingResponse:
    """Export all items with their results so far, one row each."""
    await parts.batches.get(batch_id, caller=caller.sees)
    columns = await query.chosen(partial(parts.exports.keys_of_batch, batch_id))
    pages = parts.exports.items(batch_id, fields(columns))
    return await query.download(request, batch_id, columns, pages, row=reading(columns))


@router.post("/{batch_id}/export", status_code=201)
@Raises(UrlRefused)
async def put_batch_export(
    batch_id: BatchId, order: ExportOrder, parts: Joined, caller: Caller
) -> Exported:
    """Write the export to an object store. The response is sent once the file is there."""
    await parts.batches.get(batch_id, caller=caller.sees)
    columns = await order.chosen(partial(parts.exports.keys_of_batch, batch_id))
    pages = parts.exports.items(batch_id, fields(columns))
    return await order.put(parts.targets, columns, pages, row=reading(columns))


@router.get(
    "/{batch_id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": EVENT}}}},
)
async def follow_batch(
    batch_id: BatchId,
    parts: Joined,
    caller: Caller,
    last_event_id: Annotated[
        str | None, Header(description="`id` of the last event received.")
    ] = None,
) -> StreamingResponse:
    """Follow a batch: server-sent events `progress`, each with the whole report, until the batch is
    over. Send an event's `id` as `Last-Event-ID` to get only what is new since then."""
    await parts.batches.get(batch_id, caller=caller.sees)
    return StreamingResponse(
        _events(parts, batch_id, last_event_id), media_type="text/event-stream"
    )


@router.post("/{batch_id}/pause")
@Raises(BatchOver)
async def pause_batch(batch_id: BatchId, parts: Joined, caller: Caller) -> BatchReport:
    """Start no more pictures; those in flight are still answered. A batch that was paused because
    its budget is spent no longer resumes by itself."""
    batch = await parts.batches.get(batch_id, caller=caller.sees)
    of: tuple[BatchStatus, ...] = (*UNFINISHED, "paused") if batch.is_held_up else UNFINISHED
    return await _changed(parts, batch_id, caller.sees, "paused", of=of)


@router.post("/{batch_id}/resume")
@Raises(BatchOver)
async def resume_batch(batch_id: BatchId, parts: Joined, caller: Caller) -> BatchReport:
    """Resume a paused batch."""
    report = await _changed(parts, batch_id, caller.sees, "running", of=("paused",))
    await parts.runner.go_on(batch_id)
    return report


@router.post("/{batch_id}/cancel")
@Raises(BatchOver)
async def cancel_batch(batch_id: BatchId, parts: Joined, caller: Caller) -> BatchReport:
    """End a batch; answers so far are kept."""
    return await _changed(parts, batch_id, caller.sees, "cancelled", of=(*UNFINISHED, "paused"))


@router.post("/{batch_id}/retry")
@Raises(BatchOver)
async def retry_batch(batch_id: BatchId, parts: Joined, caller: Caller) -> BatchReport:
    """Classify again what failed, and what is left of a batch that ended early."""
    batch = await parts.batches.get(batch_id, caller=caller.sees)
    if not batch.is_over:
        raise BatchOver(f"The batch is {batch.status}: it has to end first.")
    await parts.batches.retry_failed(batch_id)
    await parts.runner.go_on(batch_id)
    return parts.batches.report(await parts.batches.get(batch_id))


@router.patch("/{batch_id}")
async def change_batch(
    batch_id: BatchId, change: BatchChange, parts: Joined, caller: Caller
) -> BatchReport:
    """Change the urgency (`lane`) or the budget of a batch, even while it runs. A batch that was
    paused because its budget is spent needs `resume`, too."""
    await parts.batches.get(batch_id, caller=caller.sees)
    if change.lane is not None:
        await parts.runner.change_lane(batch_id, change.lane)
    if "budget_usd" in change.model_fields_set:
        await parts.runner.change_budget(batch_id, change.budget_usd)
    return parts.batches.report(await parts.batches.get(batch_id))


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
    return parts.batches.report(await parts.batches.get(batch_id))


async def _events(parts: Parts, batch_id: str, seen: str | None) -> AsyncIterator[bytes]:
    silent_s = 0.0
    while True:
        try:
            batch = await parts.batches.get(batch_id)
        except BatchNotFound:
            return  # it was deleted
        event_id = f"{batch.status}-{batch.lane}-{batch.done}"
        if event_id != seen:
            report = parts.batches.report(batch).model_dump_json()
            yield f"id: {event_id}\nevent: progress\ndata: {report}\n\n".encode()
            seen, silent_s = event_id, 0.0
        elif silent_s >= KEPT_ALIVE_S:
            yield b": still there\n\n"  # or proxies close the connection
            silent_s = 0.0
        if batch.is_over or parts.health.state == "draining":
            return
        await asyncio.sleep(LOOKED_AT_EVERY_S)
        silent_s += LOOKED_AT_EVERY_S
