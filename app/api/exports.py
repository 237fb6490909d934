"""What exports over HTTP have in common: what is asked, and how the file is sent."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from app.exports import Column, Layout, Row, choose, find_format, keyed, write

T = TypeVar("T")

SPREADSHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
AS_TEXT: dict[str, Any] = {
    media_type: {"schema": {"type": "string"}}
    for media_type in ("application/x-ndjson", "text/csv", "application/xml")
}
AS_FILE: dict[str, Any] = {
    media_type: {"schema": {"type": "string", "format": "binary"}}
    for media_type in ("application/vnd.apache.parquet", SPREADSHEET)
}
"""What a response may hold, for OpenAPI."""


class FileQuery(BaseModel):
    """What the file is to look like."""

    model_config = ConfigDict(extra="forbid")
    form: str = Field(
        "json",
        alias="format",
        description="`json` (one array), `jsonl`, `csv`, `xml`, `parquet`, `xlsx`, or a plug-in's.",
    )
    safe: bool = Field(
        True,
        description="In a CSV, texts that a spreadsheet would run as a formula get an apostrophe.",
    )

    async def download(
        self,
        request: Request,
        name: str,
        columns: Sequence[Column],
        pages: AsyncIterator[Sequence[T]],
        row: Callable[[T], Row],
    ) -> StreamingResponse:
        """What goes wrong before the first rows are there is an error as any other."""
        form = find_format(self.form)
        gzip = form.compresses and _takes_gzip(request)
        chunks = write(pages, form, Layout(columns, safe=self.safe), row=row, gzip=gzip)
        first = [await anext(chunks), await anext(chunks, b"")]

        async def all_of_it() -> AsyncIterator[bytes]:
            for each in first:
                yield each
            async for each in chunks:
                yield each

        headers = {
            "Content-Disposition": f'attachment; filename="{name}.{form.name}"',
            "Vary": "Accept-Encoding",
        }
        if gzip:
            headers["Content-Encoding"] = "gzip"
        return StreamingResponse(all_of_it(), media_type=form.media_type, headers=headers)


class ExportQuery(FileQuery):
    """What the file is to look like, and what is in it."""

    columns: list[str] = Field(
        [],
        description="Which ones, in which order: `item_id,confidence`, `image` for all that are "
        "below it, `metadata.order` for one key, `metadata.*` for each; unset: all.",
    )

    async def chosen(self, keys: Callable[[str], Awaitable[Sequence[str]]]) -> tuple[Column, ...]:
        """`keys` finds those of a field. Raises InvalidRequest."""
        names = [name.strip() for each in self.columns for name in each.split(",") if name.strip()]
        return choose(names, {field: await keys(field) for field in keyed(names)})


def _takes_gzip(request: Request) -> bool:
    taken = request.headers.get("accept-encoding", "").lower().replace(" ", "")
    return any(each in ("gzip", "*") for each in taken.replace(";q=1.0", "").split(","))
