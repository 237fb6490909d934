"""CSV (RFC 4180), for spreadsheets: lists and mappings are JSON, an empty cell means no value."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from app.exports.as_jsonl import json_of, time_of
from app.exports.columns import Kind, Row
from app.exports.format import Format, Layout

RUN_BY_SPREADSHEETS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""First characters that turn a cell into a formula (OWASP, CSV injection); the last ones are
full-width, as in Japanese."""


class Csv:
    def __init__(self, layout: Layout) -> None:
        self._names = [_text(safe=layout.safe)(each.name) for each in layout.columns]
        cells = [_cell(each.kind, safe=layout.safe) for each in layout.columns]
        self._cells = [(place, cell) for place, cell in enumerate(cells) if cell is not None]

    def begin(self) -> bytes:
        return _lines([self._names])

    def rows(self, rows: Sequence[Row]) -> bytes:
        return _lines(map(self._line, rows))

    def end(self) -> Iterable[bytes]:
        return ()

    def close(self) -> None:
        return

    def _line(self, row: Row) -> list[Any]:
        line = list(row)
        for place, cell in self._cells:
            value = line[place]
            if value is not None:
                line[place] = cell(value)
        return line


def _lines(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    # A lone surrogate, which JSON can hold, can't be encoded in UTF-8.
    return text.getvalue().encode(errors="backslashreplace")


def _cell(kind: Kind, *, safe: bool) -> Callable[[Any], str] | None:
    """None: csv's own conversion is right."""
    if kind in ("integer", "number"):
        return None
    if kind == "time":
        return time_of
    text = _text(safe=safe)
    if kind == "text":
        return text if safe else None
    if kind == "json":
        return lambda value: text(value) if isinstance(value, str) else _json(value)
    return _json


def _text(*, safe: bool) -> Callable[[str], str]:
    return _defused if safe else str


def _defused(text: str) -> str:
    """A leading apostrophe makes it text."""
    return f"'{text}" if text[:1] in RUN_BY_SPREADSHEETS else text


def _json(value: Any) -> str:
    return json_of(value).decode()


FORMAT = Format("csv", "text/csv; charset=utf-8", Csv)
