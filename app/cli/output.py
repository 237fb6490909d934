"""How commands print: tables for a person at a terminal, else tab-separated lines, and JSON on
request. Data goes to stdout, everything else to stderr."""

import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.exports import json_of, time_of

# Text from others may contain terminal control sequences, or tabs and line breaks.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def print_json(value: Any) -> None:
    """Print anything that pydantic can serialise, on one line."""
    sys.stdout.write(json_of(value).decode() + "\n")


def on_terminal() -> bool:
    return Console().is_terminal


def print_table(heads: Sequence[str | Text], rows: Sequence[Sequence[str | Text]]) -> None:
    """For people. The first column, which names a row, is never cut."""
    if not rows:
        Console(stderr=True).print("none", style="dim")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for place, head in enumerate(heads):
        table.add_column(head, no_wrap=place == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(each)) if isinstance(each, str) else each for each in row))
    Console(highlight=False).print(table)


def print_record(fields: Iterable[tuple[str, Any]]) -> None:
    """Print one record in full, one line for each field; missing or empty fields are omitted."""
    found = [(name, as_text(value)) for name, value in fields if value not in (None, [], {}, "")]
    if not on_terminal():
        print_lines(found)
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in found:
        table.add_row(Text(name), Text("\n".join(map(plain, text.splitlines()))))
    Console(highlight=False).print(table)


def print_lines(rows: Iterable[Sequence[Any]]) -> None:
    """For programs: no headings, nothing cut."""
    for row in rows:
        sys.stdout.write("\t".join(plain(as_text(each)) for each in row) + "\n")


def as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return time_of(value) if isinstance(value, datetime) else json_of(value).decode()


def age(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def plain(text: str) -> str:
    """On one line, with control characters escaped."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode-escape").decode(), text)
