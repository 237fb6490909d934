"""What exports over HTTP have in common: the query, and how the file is sent."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from app.errors import StorageUnavailable
from app.exports import (
    Column,
    Layout,
    Row,
    choose,
    find_format,
    format_of,
    keyed,
    save,
    write,
)
from app.storage import ObjectStore

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
AS_EXPORT: dict[str, Any] = {
    "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
    **AS_TEXT,
    **AS_FILE,
}
"""What a response may contain, for OpenAPI."""

Keys = Callable[[str], Awaitable[Sequence[str]]]
"""Finds the keys of the mappings that are stored in a field."""


class FileQuery(BaseModel):
    """What the file is to look like."""

    model_config = ConfigDict(extra="forbid")
    form: str = Field(
        "json",
        alias="format",
        description="`json` (one array), `jsonl`, `csv`, `xml`, `parquet`, `xlsx`, or a format of "
        "a plug-in.",
    )
    safe: bool = Field(
        True,
        description="In a CSV, put an apostrophe before texts that a spreadsheet would run as a "
        "formula.",
    )

    async def download(
        self,
        request: Request,
        name: str,
        columns: Sequence[Column],
        pages: AsyncIterator[Sequence[T]],
        row: Callable[[T], Row],
    ) -> StreamingResponse:
        """Waits for the first rows, so that an error before them is answered like any other."""
        form = await asyncio.to_thread(find_format, self.form)
        gzip = form.compresses and _takes_gzip(request)
        chunks = write(pages, form, Layout(columns, safe=self.safe), row=row, gzip=gzip)
        first = [await anext(chunks), await anext(chunks, b"")]

        async def all_of_it() -> AsyncIterator[bytes]:
            async with aclosing(chunks):
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


class Chosen(BaseModel):
    """What is in it."""

    columns: list[str] = Field(
        [],
        description="Columns, in this order: `item_id,confidence`, `image` for all that are below "
        "it, `metadata.order` for one key, `metadata.*` for each; unset: all.",
        examples=[["item_id,predicted_class,confidence"]],
    )

    async def chosen(self, keys: Keys) -> tuple[Column, ...]:
        """Raises InvalidRequest."""
        names = [name.strip() for each in self.columns for name in each.split(",") if name.strip()]
        return choose(names, {field: await keys(field) for field in keyed(names)})


class ExportQuery(FileQuery, Chosen):
    """What the file is to look like, and what is in it."""


class ExportOrder(Chosen):
    """Where to put the file, and what is in it."""

    model_config = ConfigDict(extra="forbid")
    to: str = Field(
        description="A storage URI below `EXPORT_TARGETS`; its suffix names the format, and `.gz` "
        "compresses the file. An existing file is replaced.",
        examples=["s3://bucket/exports/march.parquet"],
    )
    safe: bool = Field(
        True,
        description="In a CSV, put an apostrophe before texts that a spreadsheet would run as a "
        "formula.",
    )

    async def put(
        self,
        targets: ObjectStore,
        columns: Sequence[Column],
        pages: AsyncIterator[Sequence[T]],
        row: Callable[[T], Row],
    ) -> "Exported":
        """Raises InvalidRequest, UrlRefused, StorageUnavailable, and what reading raises."""
        targets.allowed.judge(self.to)
        form, gzip = await asyncio.to_thread(format_of, self.to)
        chunks = write(pages, form, Layout(columns, safe=self.safe), row=row, gzip=gzip)
        async with aclosing(chunks):
            try:
                with TemporaryDirectory() as folder:
                    file = Path(folder) / "file"
                    size = await save(chunks, file)
                    await targets.put(self.to, file)
            except OSError as error:
                reason = error.strerror or type(error).__name__
                raise StorageUnavailable(f"The export can't be written: {reason}.") from error
        return Exported(uri=self.to, bytes=size)


class Exported(BaseModel):
    """A file that was written to an object store."""

    uri: str = Field(examples=["s3://bucket/exports/march.parquet"])
    bytes: int = Field(examples=[7_340_032])


def _takes_gzip(request: Request) -> bool:
    taken = request.headers.get("accept-encoding", "").lower().replace(" ", "")
    codings = dict(each.partition(";q=")[::2] for each in taken.split(","))
    quality = codings.get("gzip", codings.get("*", "0"))
    return quality.strip("0.") != "" or quality == ""
