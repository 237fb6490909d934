"""Rows on their way into a file: a page at a time, so that all of it is never held."""

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
"""zlib's way to ask for gzip's header."""
GZIP_LEVEL = 4

BAD_ROWS = (
    Column("number", ("number",), "integer"),
    Column("place", ("place",), "text"),
    Column("reason", ("reason",), "text"),
)
"""Of what is no item of a batch."""


async def write(
    pages: AsyncIterator[Sequence[T]],
    form: Format,
    layout: Layout,
    *,
    row: Callable[[T], Row],
    gzip: bool = False,
) -> AsyncGenerator[bytes, None]:
    """The file, a page at a time: never all of it is held. `row` makes a row of what `pages` are
    made of. Raises what reading them raises, and StorageUnavailable."""
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
    """A writer's own files, in the temporary folder."""
    return StorageUnavailable(f"The export can't be written: {error.strerror or error}.")


async def save(chunks: AsyncIterator[bytes], path: Path) -> int:
    """Write a file, whole or not at all; returns its bytes. Raises OSError."""
    size = 0
    async with WholeFile(path) as unfinished:
        file = await asyncio.to_thread(unfinished.open, "wb")
        try:
            async for chunk in chunks:
                size += await asyncio.to_thread(file.write, chunk)
        finally:
            await asyncio.to_thread(file.close)
    return size
