"""Rows as JSON, JSON Lines or CSV: an item each, `item_id` first, then what its result has; or what
is no item."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel

from app.result import Failure, ImageFacts, Result, Timings, Usage
from app.storage import BadRow, BatchItem

Format = Literal["json", "jsonl", "csv"]
MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
}

T = TypeVar("T")
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


@dataclass(frozen=True, slots=True)
class Layout(Generic[T]):
    """What a row says of one `T`, and its columns as CSV."""

    row: Callable[[T], dict[str, Any]]
    columns: Sequence[str]

    def lines(self, page: list[T], between: str) -> bytes:
        return between.join(json.dumps(self.row(each)) for each in page).encode()

    def cells(self, page: list[T]) -> bytes:
        rows = map(self.row, page)
        return _cells([_cell(_at(row, column)) for column in self.columns] for row in rows)


async def write(
    pages: AsyncIterator[list[T]], form: Format, layout: Layout[T]
) -> AsyncIterator[bytes]:
    """A page at a time: never all of it is held."""
    if form == "csv":
        yield _cells([layout.columns])
        async for page in pages:
            yield await asyncio.to_thread(layout.cells, page)
        return
    begin, between, end = ("[\n", ",\n", "\n]\n") if form == "json" else ("", "\n", "\n")
    separator = None
    async for page in pages:
        if page:
            yield (begin if separator is None else separator).encode()
            yield await asyncio.to_thread(layout.lines, page, between)
            separator = between
    if separator is not None:
        yield end.encode()
    elif form == "json":
        yield b"[\n]\n"


def _item_row(found: Found) -> dict[str, Any]:
    item, result = found
    if result is None:
        gone = item.state == "done"
        return {"item_id": item.item_id, "status": "deleted" if gone else "pending"}
    return {"item_id": item.item_id, **result.model_dump(mode="json")}


ITEMS = Layout(_item_row, COLUMNS)
BAD_ROWS: Layout[BadRow] = Layout(asdict, ("number", "place", "reason"))


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


def _cells(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
