"""One row an item, `item_id` first, then what its result has: JSON, JSON Lines or CSV."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any, Literal

from pydantic import BaseModel

from app.storage import BatchItem, Failure, ImageFacts, Result, Timings, Usage

Format = Literal["json", "jsonl", "csv"]
MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
}

Found = tuple[BatchItem, Result | None]

RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r")

NESTED: dict[str, type[BaseModel]] = {
    "image": ImageFacts,
    "usage": Usage,
    "timings_ms": Timings,
    "error": Failure,
}
COLUMNS = [
    "item_id",
    *(
        f"{name}.{inner}" if name in NESTED else name
        for name in Result.model_fields
        for inner in (NESTED[name].model_fields if name in NESTED else (name,))
    ),
]
"""Of a CSV: what is nested has its path, lists and mappings are JSON."""


async def write(pages: AsyncIterator[list[Found]], form: Format) -> AsyncIterator[bytes]:
    """A page at a time: never all of it is held."""
    if form == "csv":
        yield _cells([COLUMNS])
        async for page in pages:
            yield await asyncio.to_thread(_cells, map(_csv_row, page))
        return
    begin, between, end = ("[\n", ",\n", "\n]\n") if form == "json" else ("", "\n", "\n")
    separator = begin
    async for page in pages:
        if page:
            yield separator.encode() + await asyncio.to_thread(_lines, page, between)
            separator = between
    yield (end if separator != begin or form == "jsonl" else begin + end.lstrip()).encode()


def _lines(page: list[Found], between: str) -> bytes:
    return between.join(json.dumps(_row(each)) for each in page).encode()


def _row(found: Found) -> dict[str, Any]:
    item, result = found
    if result is None:
        return {"item_id": item.item_id, "status": "pending"}
    return {"item_id": item.item_id, **result.model_dump(mode="json")}


def _csv_row(found: Found) -> list[str]:
    row = _row(found)
    return [_cell(_at(row, column)) for column in COLUMNS]


def _at(row: dict[str, Any], column: str) -> Any:
    if column in row:
        return row[column]
    name, _, inner = column.partition(".")
    return (row.get(name) or {}).get(inner) if inner else None


def _cell(value: Any) -> str:
    """A text that a spreadsheet would run as a formula gets an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(RUN_BY_SPREADSHEETS) else value
    return json.dumps(value)


def _cells(rows: Iterable[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
