"""Writes results to files."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from app.client.results import Classification
from app.exports import Layout, choose, find_format, reading, values_of
from app.whole_file import WholeFile

AT_ONCE = 500


def write(
    results: Iterable[Classification],
    form: str,
    path: Path,
    *,
    columns: Sequence[str] = (),
    safe: bool = True,
) -> None:
    """Write a file that exists completely or not at all. Raises InvalidRequest for an unknown
    format or column, ConfigurationError when a format's library is missing, OSError."""
    layout = Layout(choose(columns), safe=safe)
    writer, row = find_format(form).write(layout), reading(layout.columns)
    left = iter(results)
    try:
        with WholeFile(path) as unfinished, unfinished.open("wb") as file:
            file.write(writer.begin())
            while page := list(islice(left, AT_ONCE)):
                file.write(writer.rows([row(values_of(each.item_id, each)) for each in page]))
            file.writelines(writer.end())
    finally:
        writer.close()
