"""`export`: writes results to a file."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, TypeVar

import typer
from rich.console import Console

from app.cli.output import plain, print_json
from app.cli.start import start
from app.errors import InvalidRequest
from app.exports import (
    Format,
    Layout,
    choose,
    fields,
    find_format,
    format_of,
    keyed,
    reading,
    save,
    write,
)
from app.parts import Parts, build_parts
from app.settings import Settings
from app.storage import AllowedUris, ResultFilter

T = TypeVar("T")

STDOUT = "-"
ON_STDOUT = "csv"
"""The format where none is given."""

Source = str | ResultFilter
"""A batch's id, or a filter for results."""


@dataclass(frozen=True, slots=True)
class Order:
    """The file to write.

    Attributes:
        output: a path, a storage URI, or STDOUT.
        names: of the columns; empty: all.
    """

    output: str
    form: Format
    gzip: bool
    names: tuple[str, ...] = ()
    safe: bool = True

    @property
    def is_uri(self) -> bool:
        return "://" in self.output

    @property
    def path(self) -> Path:
        return Path(self.output)

    @property
    def is_device(self) -> bool:
        """A device or pipe: it is written to, since replacing it with a file would remove it."""
        return self.path.exists() and not self.path.is_file()

    def check(self, settings: Settings) -> None:
        """Called before anything is read. Raises BadParameter, UrlRefused."""
        if self.is_uri:
            AllowedUris.parse(settings.export.targets, "EXPORT_TARGETS").judge(self.output)
        elif self.output == STDOUT:
            if sys.stdout.isatty() and not self.form.compresses:
                raise _refused(f"{self.form.name} is not for a terminal: name a file.")
        elif self.path.is_dir():
            raise _refused(f"{self.output} is a folder.")
        elif not self.path.parent.is_dir():
            raise _refused(f"There is no folder {self.path.parent}.")


@dataclass(frozen=True, slots=True)
class Written:
    output: str
    format: str
    rows: int
    bytes: int

    def tell(self) -> None:
        """On stderr, for people, unless the export itself is what they see."""
        if self.output == STDOUT:
            return
        line = f"{self.output}: {self.rows:,} rows, {self.bytes:,} bytes"
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(plain(line), markup=False)


def order(
    output: str | None, *, form: str | None = None, columns: str | None = None, safe: bool = True
) -> Order:
    """Raises BadParameter."""
    output = output or STDOUT
    names = tuple(name.strip() for name in (columns or "").split(",") if name.strip())
    try:
        choose(names)
    except InvalidRequest as error:
        raise typer.BadParameter(str(error), param_hint="--columns") from None
    try:
        found, gzip = _format(output, form)
    except InvalidRequest as error:
        hint = "--output" if form is None else "--format"
        raise typer.BadParameter(str(error), param_hint=hint) from None
    return Order(output, found, gzip, names, safe)


def _format(output: str, name: str | None) -> tuple[Format, bool]:
    """Return the format, and whether to compress. Raises InvalidRequest."""
    if name is None and output != STDOUT:
        return format_of(output)
    return find_format(name or ON_STDOUT), output.endswith(".gz")


def export(wanted: Order, source: Source, *, as_json: bool) -> None:
    """Raises BadParameter, BatchNotFound, ResultNotFound, UrlRefused, StorageUnavailable,
    OSError."""
    if as_json and wanted.output == STDOUT:
        raise typer.BadParameter("It tells of a file: name one.", param_hint="--json")
    settings = start(log_level="warning")
    wanted.check(settings)
    written = asyncio.run(_export(settings, wanted, source))
    if as_json:
        print_json(asdict(written))
    else:
        written.tell()


async def _export(settings: Settings, wanted: Order, source: Source) -> Written:
    async with build_parts(settings) as parts:
        return await write_file(parts, wanted, source)


async def write_file(parts: Parts, wanted: Order, source: Source) -> Written:
    """Count rows on stderr where that is a terminal. Raises the same as `export`."""
    if isinstance(source, str):
        await parts.batches.get(source)
        keys = partial(parts.exports.keys_of_batch, source)
        pages = partial(parts.exports.items, source)
    else:
        keys = partial(parts.exports.keys_of_results, source)
        pages = partial(parts.exports.results, source)
    columns = choose(wanted.names, {field: await keys(field) for field in keyed(wanted.names)})
    rows = 0

    async def counted(pages: AsyncIterator[Sequence[T]]) -> AsyncIterator[Sequence[T]]:
        nonlocal rows
        async for page in pages:
            rows += len(page)
            status.update(f"{rows:,} rows")
            yield page

    mixed = wanted.output == STDOUT and sys.stdout.isatty()
    layout = Layout(columns, safe=wanted.safe)
    with Console(stderr=True, quiet=mixed).status("") as status:
        chunks = write(
            counted(pages(fields(columns))),
            wanted.form,
            layout,
            row=reading(columns),
            gzip=wanted.gzip,
        )
        async with aclosing(chunks):
            size = await _put(parts, wanted, chunks)
    return Written(wanted.output, wanted.form.name, rows, size)


async def _put(parts: Parts, wanted: Order, chunks: AsyncIterator[bytes]) -> int:
    if wanted.output == STDOUT:
        return await _stream(chunks, sys.stdout.buffer)
    if wanted.is_uri:
        with TemporaryDirectory(prefix="export-") as folder:
            file = Path(folder) / "file"
            size = await save(chunks, file)
            await parts.targets.put(wanted.output, file)
        return size
    if wanted.is_device:
        with wanted.path.open("wb") as device:
            return await _stream(chunks, device)
    return await save(chunks, wanted.path.resolve())  # a symbolic link is kept


async def _stream(chunks: AsyncIterator[bytes], file: BinaryIO) -> int:
    size = 0
    async for chunk in chunks:
        size += file.write(chunk)
    return size


def _refused(why: str) -> typer.BadParameter:
    return typer.BadParameter(why, param_hint="--output")
