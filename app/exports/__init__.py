"""Results as files: one kind of row, a writer for each format."""

from app.exports.as_jsonl import json_of, time_of
from app.exports.columns import (
    COLUMNS,
    Column,
    Row,
    Values,
    choose,
    columns_of,
    fields,
    keyed,
    reading,
    values_of,
)
from app.exports.export import BAD_ROWS, save, write
from app.exports.format import Format, Layout, Writer, find_format, format_names, format_of

__all__ = [
    "BAD_ROWS",
    "COLUMNS",
    "Column",
    "Format",
    "Layout",
    "Row",
    "Values",
    "Writer",
    "choose",
    "columns_of",
    "fields",
    "find_format",
    "format_names",
    "format_of",
    "json_of",
    "keyed",
    "reading",
    "save",
    "time_of",
    "values_of",
    "write",
]
