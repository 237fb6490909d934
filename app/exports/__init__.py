"""Results as files: one kind of row, a writer for each format."""

from app.exports.as_jsonl import as_json, as_time
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
    "as_json",
    "as_time",
    "choose",
    "columns_of",
    "fields",
    "find_format",
    "format_names",
    "format_of",
    "keyed",
    "reading",
    "save",
    "values_of",
    "write",
]
