"""Writes rows to a file: a page at a time, so that it is never held as a whole."""

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from app.errors import StorageUnavailable
from app.exports.columns import Column, Row
from app.exports.format import Format, Layout, Writer
from app.whole_file import WholeFile

T = TypeVar("T")

GZIP = 16 + zlib.MAX_WBITS
"""Makes zlib write gzip's header."""
GZIP_LEVEL = 4

BAD_ROWS = (
    Column("number", ("number",), "integer"),
    Column("place", ("place",), "text"),
    Column("reason", ("reason",), "text"),
)
"""Columns for the bad rows of a batch."""


async def write(
    pages: AsyncIterator[Sequence[T]],
    form: Format,
    layout: Layout,
    *,
    row: Callable[[T], Row],
    gzip: bool = False,
) -> AsyncGenerator[bytes, None]:
    """The file, a page at a time: it is never held as a whole. `row` makes a row from an element of
    `pages`. Raises the errors of reading them, and StorageUnavailable."""
    writer = await asyncio.to_thread(_opened, form, layout)
    packed = zlib.compressobj(GZIP_LEVEL, wbits=GZIP) if gzip else None

    def pack(chunk: bytes) -> bytes:
        return chunk if packed is None else packed.compress(chunk)

    def some(page: Sequence[T]) -> bytes:
        return pack(writer.rows([row(each) for each in page]))

    try:
        yield await asyncio.to_thread(lambda: pack(writer.begin()))
        async for page in pages:
            yield await asyncio.to_thread(some, page)
        left = await asyncio.to_thread(lambda: iter(writer.end()))
        while (chunk := await asyncio.to_thread(next, left, None)) is not None:
            yield await asyncio.to_thread(pack, chunk)
        if packed is not None:
            yield packed.flush()
    except OSError as error:
        raise _unwritable(error) from error
    finally:
        await asyncio.to_thread(writer.close)


def _opened(form: Format, layout: Layout) -> Writer:
    try:
        return form.write(layout)
    except OSError as error:
        raise _unwritable(error) from error


def _unwritable(error: OSError) -> StorageUnavailable:
    """For a writer's own files, in the temporary folder."""
    return StorageUnavailable(f"The export can't be written: {error.strerror or error}.")


async def save(chunks: AsyncIterator[bytes], path: Path) -> int:
    """Write a file atomically; returns its size in bytes. Raises OSError."""
    size = 0
    async with WholeFile(path) as unfinished:
        file = await asyncio.to_thread(unfinished.open, "wb")
        try:
            async for chunk in chunks:
                size += await asyncio.to_thread(file.write, chunk)
        finally:
            await asyncio.to_thread(file.close)
    return size
