"""A workbook for Excel and LibreOffice. No text is run as a formula, because every one is typed as
text. Lists and mappings are JSON, times are UTC."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import xlsxwriter  # type: ignore[import-untyped]

from app.exports.as_jsonl import json_of
from app.exports.columns import Kind, Row
from app.exports.format import Format, Layout

MOST_ROWS = 1_048_576
"""Rows of a sheet, including its heading; then the next sheet begins."""
MOST_CHARACTERS = 32_767
"""Length of a cell, counted in UTF-16 units like Excel; longer texts are cut."""
CUT = "..."
FULL_BYTES = 1 << 30
"""Uncompressed size of a sheet; then, too, the next one begins. Some programs can't open sheets
larger than 2 GiB."""

SENT_AT_ONCE = 1 << 20

Write = Callable[[int, int, Any], Any]


class Xlsx:
    def __init__(self, layout: Layout) -> None:
        self._columns = layout.columns
        self._folder = TemporaryDirectory(prefix="export-")
        self._path = Path(self._folder.name) / "results.xlsx"
        # Complete rows go to a file: only the last one is in memory.
        self._book = xlsxwriter.Workbook(
            str(self._path),
            {
                "constant_memory": True,
                "tmpdir": self._folder.name,
                "nan_inf_to_errors": True,  # a cell can't hold these numbers
            },
        )
        self._bold = self._book.add_format({"bold": True})
        self._time = self._book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"})

    def begin(self) -> bytes:
        self._next_sheet()
        return b""

    def rows(self, rows: Sequence[Row]) -> bytes:
        if Path(self._sheet.row_data_filename).stat().st_size > FULL_BYTES:
            self._next_sheet()
        for row in rows:
            if self._at == MOST_ROWS:
                self._next_sheet()
            for column, (write, value) in enumerate(zip(self._writes, row, strict=True)):
                if value is not None:
                    write(self._at, column, value)
            self._at += 1
        return b""

    def end(self) -> Iterator[bytes]:
        self._book.close()
        with self._path.open("rb") as file:
            while chunk := file.read(SENT_AT_ONCE):
                yield chunk

    def close(self) -> None:
        if not self._book.fileclosed:
            for sheet in self._book.worksheets():
                sheet._opt_close()  # closing the book would write all of it first
        self._folder.cleanup()

    def _next_sheet(self) -> None:
        sheet = self._sheet = self._book.add_worksheet()
        sheet.freeze_panes(1, 0)
        for place, column in enumerate(self._columns):
            sheet.write_string(0, place, _fitting(column.name), self._bold)
        self._at = 1
        self._writes = [self._write(each.kind) for each in self._columns]

    def _write(self, kind: Kind) -> Write:
        sheet: Any = self._sheet
        match kind:
            case "text":
                return lambda row, column, text: sheet.write_string(row, column, _fitting(text))
            case "integer" | "number":
                return cast(Write, sheet.write_number)
            case "boolean":
                return cast(Write, sheet.write_boolean)
            case "time":
                return lambda row, column, moment: sheet.write_datetime(
                    row, column, moment.replace(tzinfo=None), self._time
                )
            case _:
                return lambda row, column, value: sheet.write_string(row, column, _text(value))


def _text(value: Any) -> str:
    return _fitting(value if isinstance(value, str) else json_of(value).decode())


def _fitting(text: str) -> str:
    if text.startswith("<r>") and text.endswith("</r>"):
        text += " "  # or XlsxWriter takes it for its own markup
    text = text.encode(errors="backslashreplace").decode()
    if len(text) * 2 <= MOST_CHARACTERS:
        return text
    units = text.encode("utf-16-le")
    if len(units) <= 2 * MOST_CHARACTERS:
        return text
    return units[: 2 * (MOST_CHARACTERS - len(CUT))].decode("utf-16-le", errors="ignore") + CUT


FORMAT = Format(
    "xlsx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    Xlsx,
    compresses=False,
)
