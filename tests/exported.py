"""Reads exported files back as a user would."""

import csv
import io
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

from app.exports import Column, Layout, Values, find_format, reading
from app.identifiers import RESULT, new_id
from app.result import ImageFacts, Result, Usage


def a_result(**values: Any) -> Result:
    moment = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
    facts = {"sha256": "0" * 64, "format": "JPEG", "width": 640, "height": 427, "bytes": 91_234}
    row = {
        "id": new_id(RESULT, moment),
        "domain": "flowers",
        "predicted_class": "rose",
        "confidence": 0.9,
        "probabilities": {"rose": 0.9, "daisy": 0.1},
        "status": "accepted",
        "image": ImageFacts(**facts, warnings=["It is dark."]),
        "usage": Usage(prompt_tokens=214, completion_tokens=5, cost_usd=Decimal("0.000585")),
        "caller": "anonymous",
        "domain_version": "1",
        "created_at": moment,
    }
    return Result(**{**row, **values})


def written(form: str, rows: Sequence[Values], columns: Sequence[Column], *, safe=True) -> bytes:
    """The whole file, with its rows in two pages."""
    writer, row = find_format(form).write(Layout(columns, safe=safe)), reading(columns)
    pages = rows[:1], rows[1:]
    try:
        chunks = [writer.begin(), *(writer.rows([*map(row, page)]) for page in pages)]
        return b"".join([*chunks, *writer.end()])
    finally:
        writer.close()


def rows_of(values: Sequence[Values], columns: Sequence[Column]) -> list[list[Any]]:
    return [list(row) for row in map(reading(columns), values)]


def documents_as_rows(documents: Sequence[dict], columns: Sequence[Column]) -> list[list[Any]]:
    return [[_typed(_at(each, column.path), column) for column in columns] for each in documents]


def csv_as_rows(data: bytes, columns: Sequence[Column]) -> list[list[Any]]:
    names, *rows = csv.reader(io.StringIO(data.decode(), newline=""))
    assert names == [each.name for each in columns]
    return [
        [_from_cell(cell, column) for cell, column in zip(row, columns, strict=True)]
        for row in rows
    ]


def xml_as_rows(data: bytes, columns: Sequence[Column]) -> list[list[Any]]:
    root = ElementTree.fromstring(data)
    assert (root.tag, {each.tag for each in root} - {"result"}) == ("results", set())
    return [[_from_element(each, column) for column in columns] for each in root]


def _at(document: Any, path: Sequence[str]) -> Any:
    for name in path:
        document = None if document is None else document.get(name)
    return document


def _typed(value: Any, column: Column) -> Any:
    return datetime.fromisoformat(value) if column.kind == "time" and value else value


def _from_cell(cell: str, column: Column) -> Any:
    """As docs/exports.md says: an empty cell is None."""
    if not cell:
        return None
    match column.kind:
        case "text":
            return cell
        case "integer":
            return int(cell)
        case "number":
            return float(cell)
        case "time":
            return datetime.fromisoformat(cell)
        case _:
            return json.loads(cell)


def _from_element(row: ElementTree.Element, column: Column) -> Any:
    found: Any = row
    for name in column.path:
        found = None if found is None else found.find(name)
    if found is None:
        return None
    match column.kind:
        case "text":
            return _text(found)
        case "integer":
            return int(found.text)
        case "number":
            return float(found.text)
        case "boolean":
            return {"true": True, "false": False}[found.text]
        case "time":
            return datetime.fromisoformat(found.text)
        case _:
            return _any(found)


def _any(element: ElementTree.Element) -> Any:
    match element.get("type"):
        case None:
            return _text(element)
        case "null":
            return None
        case "boolean":
            return {"true": True, "false": False}[element.text]
        case "number":
            return json.loads(element.text)
        case "list":
            return [_any(each) for each in element]
        case "map":
            return {_unescaped(each.get("key")): _any(each) for each in element}


def _text(element: ElementTree.Element) -> str:
    return _unescaped(element.text or "")


def _unescaped(text: str) -> str:
    return re.sub("_x([0-9A-Fa-f]{4})_", lambda found: chr(int(found[1], 16)), text)
