"""`/batches`: bulk work."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from hashlib import sha256
from itertools import chain
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.datastructures import UploadFile

from app.api.batch_reports import (
    After,
    BadRowPage,
    BadRowQuery,
    BadRowReport,
    BatchChange,
    BatchJson,
    BatchPage,
    BatchQuery,
    BatchReport,
    ItemPage,
    ItemReport,
)
from app.api.dependencies import Caller, IdempotencyKey, Joined
from app.api.forms import parsed_json, read_form, texts, validated
from app.batches import BatchEstimate, BatchOptions
from app.batches.manifest import ManifestRow, read_row
from app.batches.rows import Row, Unusable
from app.batches.sources import Files
from app.errors import (
    BatchNotFound,
    BatchOver,
    BatchTooLarge,
    InvalidRequest,
    UnsupportedContentType,
)
from app.exports import BAD_ROWS, ITEMS, MEDIA_TYPES, Format, Found, Layout, write
from app.identifiers import BATCH_PATTERN
from app.parts import Parts
from app.storage import BadRow, BatchRow, BatchStatus
from app.storage.batch_rows import UNFINISHED

T = TypeVar("T")

router = APIRouter(prefix="/batches", tags=["batches"])

MAX_JSON = 32_000_000
"""Bytes of a list of items as JSON; longer ones come as files."""
MAX_FILES = 10_000

MEBIBYTE = 1 << 20

EXPORTED_AT_ONCE = 500
"""Items held at a time."""

LOOKED_AT_EVERY_S = 0.5
"""Between two looks at a batch that somebody follows."""

KEPT_ALIVE_S = 15.0
"""Of silence at most to whoever follows a batch."""

AS_TEXT = {MEDIA_TYPES[form]: {"schema": {"type": "string"}} for form in ("jsonl", "csv")}

BatchId = Annotated[str, Path(pattern=BATCH_PATTERN, examples=["bat_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])]


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


@router.post(
    "",
    status_code=202,
    response_model=BatchReport,
    responses={200: {"model": BatchEstimate, "description": "With `dry_run`."}},
    openapi_extra={"requestBody": _request_body()},
)
async def create_batch(
    request: Request,
    response: Response,
    parts: Joined,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> BatchReport | Response:
    """Take in a batch: a list of URLs, or files. It begins at once; see `Location` for how far it
    is. Rows that are no items are told under `errors`, and the rest runs. With `dry_run` it is only
    estimated."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        made = await _take_form(request, parts, caller.name, idempotency_key)
    elif kind == "application/json" or kind.endswith("+json"):
        made = await _take_json(request, parts, caller.name, idempotency_key)
    else:
        raise UnsupportedContentType("Send multipart/form-data or application/json.")
    if isinstance(made, BatchEstimate):
        return JSONResponse(made.model_dump(mode="json", by_alias=True))
    await parts.runner.go_on(made.id)
    response.headers["Location"] = f"/batches/{made.id}"
    return BatchReport.of(made)


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


@router.delete("/{batch_id}", status_code=204)
async def delete_batch(batch_id: BatchId, parts: Joined, caller: Caller) -> None:
    """Forget it, with its items and their results. It has to be over, or cancelled."""
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
    batch_id: BatchId, query: Annotated[BadRowQuery, Query()], parts: Joined, caller: Caller
) -> BadRowPage | StreamingResponse:
    """Rows and files that are no items, and why."""
    await parts.batches.get(batch_id, caller=caller.sees)
    if query.form != "json":
        name = f"{batch_id}-errors"
        return _download(name, _bad_rows(parts, batch_id), query.form, BAD_ROWS)
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
    return _download(batch_id, _items(parts, batch_id), form, ITEMS)


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
    return await _changed(parts, batch_id, caller.sees, "paused", of=UNFINISHED)


@router.post("/{batch_id}/resume")
async def resume_batch(batch_id: BatchId, parts: Joined, caller: Caller) -> BatchReport:
    """Go on with a paused batch."""
    report = await _changed(parts, batch_id, caller.sees, "running", of=("paused",))
    await parts.runner.go_on(batch_id)
    return report


@router.post("/{batch_id}/cancel")
async def cancel_batch(batch_id: BatchId, parts: Joined, caller: Caller) -> BatchReport:
    """End it; what is answered stays."""
    return await _changed(parts, batch_id, caller.sees, "cancelled", of=(*UNFINISHED, "paused"))


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


def _download(
    name: str, pages: AsyncIterator[list[T]], form: Format, layout: Layout[T]
) -> StreamingResponse:
    return StreamingResponse(
        write(pages, form, layout),
        media_type=MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="{name}.{form}"'},
    )


async def _items(parts: Parts, batch_id: str) -> AsyncIterator[list[Found]]:
    after = -1
    while page := await parts.batches.items(batch_id, after=after, limit=EXPORTED_AT_ONCE):
        yield page
        after = page[-1][0].number


async def _bad_rows(parts: Parts, batch_id: str) -> AsyncIterator[list[BadRow]]:
    after = -1
    while page := await parts.batches.bad_rows(batch_id, after=after, limit=EXPORTED_AT_ONCE):
        yield page
        after = page[-1].number


async def _events(parts: Parts, batch_id: str, seen: str | None) -> AsyncIterator[bytes]:
    silent_s = 0.0
    while True:
        try:
            batch = await parts.batches.get(batch_id)
        except BatchNotFound:
            return  # it was deleted
        event_id = f"{batch.status}-{batch.lane}-{batch.done}"
        if event_id != seen:
            report = BatchReport.of(batch).model_dump_json()
            yield f"id: {event_id}\nevent: progress\ndata: {report}\n\n".encode()
            seen, silent_s = event_id, 0.0
        elif silent_s >= KEPT_ALIVE_S:
            yield b": still there\n\n"  # or proxies cut it
            silent_s = 0.0
        if batch.is_over or parts.health.state == "draining":
            return
        await asyncio.sleep(LOOKED_AT_EVERY_S)
        silent_s += LOOKED_AT_EVERY_S


async def _take_json(
    request: Request, parts: Parts, caller: str, key: str | None
) -> BatchRow | BatchEstimate:
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
    return await _take(parts, options, rows, caller, key, lambda: sha256(content).hexdigest())


async def _take_form(
    request: Request, parts: Parts, caller: str, key: str | None
) -> BatchRow | BatchEstimate:
    async with read_form(request, max_files=MAX_FILES) as form:
        # As Swagger UI sends what was left empty.
        given = {name: value for name, value in texts(form).items() if value != ""}
        options = validated(BatchOptions, given)
        files = [each for each in form.getlist("file") if isinstance(each, UploadFile)]
        if not files:
            raise InvalidRequest("file: is missing.")
        labels = frozenset((await parts.domains.find(options.domain)).labels)
        reader = Files(parts.settings, options, labels)
        rows = chain.from_iterable(
            reader.rows(each.filename or "file", each.file) for each in files
        )
        return await _take(parts, options, rows, caller, key, lambda: _fingerprint(options, files))


async def _take(
    parts: Parts,
    options: BatchOptions,
    rows: Iterable[Row | Unusable],
    caller: str,
    key: str | None,
    fingerprint: Callable[[], str],
) -> BatchRow | BatchEstimate:
    """`fingerprint` reads all of the request: only where there is a key. A dry run makes nothing
    that a key could stand for."""
    if options.dry_run:
        return await parts.estimator.estimate(options, rows)
    if key is None:
        return await parts.taking_in.take(options, rows, caller=caller)
    return await parts.taking_in.take_once(
        options, rows, caller=caller, key=key, fingerprint=await asyncio.to_thread(fingerprint)
    )


def _fingerprint(options: BatchOptions, files: list[UploadFile]) -> str:
    """SHA-256 over all that makes a form the same."""
    digest = sha256(options.model_dump_json(exclude={"dry_run"}).encode())
    for each in files:
        digest.update(f"\n{each.filename}\n".encode())
        while chunk := each.file.read(MEBIBYTE):
            digest.update(chunk)
        each.file.seek(0)
    return digest.hexdigest()
