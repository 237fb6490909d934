"""Lists of pictures: JSON Lines and CSV. Bad rows are told apart, the rest is taken."""

import csv
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from app.batches.rows import Row, Unusable
from app.errors import InvalidRequest

MAX_LINE = 65_536
"""Characters of one row."""

METADATA = "metadata."


class ManifestRow(BaseModel):
    """One picture of a list."""

    model_config = ConfigDict(extra="forbid")
    image_url: str = Field(
        min_length=1, max_length=2_000, examples=["https://example.org/rose.jpg"]
    )
    id: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        description="The caller's own name of it; its number when missing.",
        examples=["rose-17"],
    )
    domain: str | None = Field(None, description="The batch's, if any.", examples=[None])
    expected: str | None = Field(None, description="The true class.", examples=["rose"])
    metadata: dict[str, JsonValue] | None = Field(None, examples=[{"order": "A-17"}])


def read_jsonl(file: BinaryIO) -> Iterator[Row | Unusable]:
    """A JSON object a line; empty lines are passed over."""
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
            data = pydantic_core.from_json(line, allow_inf_nan=False)
        except ValueError as error:
            yield Unusable(place, f"not valid JSON: {error}")
            continue
        yield read_row(place, data)


def read_csv(file: BinaryIO, *, expected_column: str) -> Iterator[Row | Unusable]:
    """Columns `image_url`, and maybe `id`, `domain`, `metadata.*` and the one of the true class.

    Raises InvalidRequest when there is no header with `image_url`, and for what is no text.
    """
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    reader = csv.reader(_bounded(text), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if "image_url" not in header or len(set(header)) < len(header):
            raise InvalidRequest("The CSV needs a header of different names, `image_url` in it.")
        for cells in reader:
            place = f"line {reader.line_num}"
            if not any(cells):
                continue
            if len(cells) != len(header):
                yield Unusable(place, f"has {len(cells)} cells, and the header {len(header)}")
                continue
            yield read_row(place, _named(dict(zip(header, cells, strict=True)), expected_column))
    except (csv.Error, UnicodeError) as error:
        raise InvalidRequest(
            f"The CSV can't be read near line {reader.line_num}: {error}"
        ) from None
    finally:
        text.detach()


def read_row(place: str, data: Any) -> Row | Unusable:
    try:
        row = ManifestRow.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "row"
        return Unusable(place, f"{where}: {first['msg']}")
    return Row(place, row.image_url, row.id, row.expected, row.metadata)


def _named(cells: dict[str, str], expected_column: str) -> dict[str, Any]:
    """As in JSON. Other columns are passed over."""
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


def _bounded(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise csv.Error(f"a line is longer than {MAX_LINE:,} characters")
        if "\0" in line:
            raise csv.Error("it holds a NUL")
        yield line
