"""JSON: one array, with a result's JSON on each line."""

from collections.abc import Iterable, Sequence

from app.exports.as_jsonl import JsonLines
from app.exports.columns import Row
from app.exports.format import Format, Layout


class JsonArray:
    def __init__(self, layout: Layout) -> None:
        self._lines = JsonLines(layout)
        self._between = b"\n"

    def begin(self) -> bytes:
        return b"["

    def rows(self, rows: Sequence[Row]) -> bytes:
        if not rows:
            return b""
        lines = self._lines.rows(rows).rstrip(b"\n").replace(b"\n", b",\n")
        between, self._between = self._between, b",\n"
        return between + lines

    def end(self) -> Iterable[bytes]:
        return (b"\n]\n",)

    def close(self) -> None:
        return


FORMAT = Format("json", "application/json", JsonArray)
