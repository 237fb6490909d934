"""Lists of pictures: JSON Lines and CSV. Bad rows are reported, and the rest is taken."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from app.batches.rows import Row, Unusable
from app.errors import InvalidRequest, said
from app.result import MAX_METADATA, metadata_bytes

MAX_LINE = 65_536
"""Characters of one row."""

EXPECTED = "expected"
"""Column of a CSV that holds the true class, unless another one is named."""

METADATA = "metadata."


class ManifestRow(BaseModel):
    """One picture of a list. Other fields of a row are ignored."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)
    image_url: str = Field(
        min_length=1, max_length=2_000, examples=["https://example.org/rose.jpg"]
    )
    id: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        description="The caller's own id of the item; unset: its number.",
        examples=["rose-17"],
    )
    domain: str | None = Field(
        None, description="If given, the batch's domain: all items have the same.", examples=[None]
    )
    expected: str | None = Field(None, description="The true class.", examples=["rose"])
    metadata: dict[str, JsonValue] | None = Field(None, examples=[{"order": "A-17"}])


def read_jsonl(file: BinaryIO, *, domain: str) -> Iterator[Row | Unusable]:
    """One JSON object per line; empty lines are skipped."""
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        place = f"line {number}"
        if len(line) > MAX_LINE:
            yield Unusable(place, f"is longer than {MAX_LINE:,} bytes")
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE)
            continue
        if not line.strip():
            continue
        try:
            data = json.loads(line, object_pairs_hook=_unique, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            yield Unusable(place, f"not valid JSON: {error}")
            continue
        yield read_row(place, data, domain=domain)


def read_csv(file: BinaryIO, *, domain: str, expected_column: str) -> Iterator[Row | Unusable]:
    """Columns `image_url` and, optionally, `id`, `domain`, `metadata.*` and that of the true class.

    Raises InvalidRequest when there is no header with `image_url`, and for what is not text.
    """
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    lines = _Lines(text)
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if "image_url" not in header or len(set(header)) < len(header):
            raise InvalidRequest("The CSV needs a header of different names, `image_url` in it.")
        for cells in reader:
            lines.length = 0
            place = f"line {reader.line_num}"
            if not any(cells):
                continue
            if len(cells) != len(header):
                yield Unusable(place, f"has {len(cells)} cells, and the header {len(header)}")
                continue
            named = _named(dict(zip(header, cells, strict=True)), expected_column)
            yield read_row(place, named, domain=domain)
    except (csv.Error, UnicodeError) as error:
        raise InvalidRequest(
            f"The CSV can't be read near line {reader.line_num}: {error}"
        ) from None
    finally:
        text.detach()


def read_row(place: str, data: Any, *, domain: str) -> Row | Unusable:
    """The row from `data`, a mapping with the fields of ManifestRow; `domain` is the batch's."""
    try:
        row = ManifestRow.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "row"
        return Unusable(place, f"{where}: {said(first['msg'])}")
    if row.domain not in (None, domain):
        return Unusable(place, f"domain: the batch is about {domain}")
    if (reason := _wrong_text(row)) is not None:
        return Unusable(place, reason)
    return Row(place, row.image_url, row.id, row.expected, row.metadata)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that is there twice, because parsers differ in which one they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _wrong_text(row: ManifestRow) -> str | None:
    """Why a row is refused: what can't be written as JSON in UTF-8 could never be read again."""
    texts = f"{row.id}{row.image_url}{row.expected}"
    try:
        texts.encode()
        size = metadata_bytes(row.metadata or {})
    except UnicodeEncodeError:
        return "holds half a character"
    except ValueError as error:
        return f"metadata: {error}"
    if "\0" in f"{row.id}{row.image_url}":
        return "holds a NUL"
    return f"metadata: is longer than {MAX_METADATA:,} bytes" if size > MAX_METADATA else None


def _named(cells: dict[str, str], expected_column: str) -> dict[str, Any]:
    """The cells as a JSON row would hold them. Other columns are ignored."""
    named: dict[str, Any] = {
        name: cells[name] for name in ("id", "image_url", "domain") if cells.get(name)
    }
    if cells.get(expected_column):
        named["expected"] = cells[expected_column]
    metadata = {
        name.removeprefix(METADATA): value
        for name, value in cells.items()
        if name.startswith(METADATA)
    }
    return named | ({"metadata": metadata} if metadata else {})


class _Lines:
    """Lines of a CSV. A row, which may span several lines, has at most MAX_LINE characters."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.length = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._text.readline(MAX_LINE + 1):
            self.length += len(line)
            if self.length > MAX_LINE:
                raise csv.Error(f"a row is longer than {MAX_LINE:,} characters")
            if "\0" in line:
                raise csv.Error("it holds a NUL")
            yield line
