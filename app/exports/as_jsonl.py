"""JSON Lines: a result's JSON on each line, `item_id` first."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from app.exports.columns import Row, Tree, tree
from app.exports.format import Format, Layout


class JsonLines:
    def __init__(self, layout: Layout) -> None:
        self._document = _nested(tree(layout.columns))

    def begin(self) -> bytes:
        return b""

    def rows(self, rows: Sequence[Row]) -> bytes:
        return b"".join([json_of(self._document(row)) + b"\n" for row in rows])

    def end(self) -> Iterable[bytes]:
        return ()

    def close(self) -> None:
        return


def json_of(value: Any) -> bytes:
    """ASCII only, so that any text is safe; times as `2026-01-02T03:04:05.678901Z`."""
    try:
        return to_json(value, inf_nan_mode="null", ensure_ascii=True)
    except PydanticSerializationError:  # lone surrogate, which Python's own encoder accepts
        return json.dumps(value, separators=(",", ":"), default=time_of).encode()


def time_of(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _nested(tree: Tree) -> Callable[[Row], dict[str, Any]]:
    leaves = [(name, part) for name, part in tree.items() if isinstance(part, int)]
    branches = [(name, _nested(part)) for name, part in tree.items() if isinstance(part, dict)]
    names = dict.fromkeys(tree)

    def document(row: Row) -> dict[str, Any]:
        found: dict[str, Any] = names.copy()
        for name, place in leaves:
            found[name] = row[place]
        for name, branch in branches:
            below = branch(row)
            # A nested object whose values are all None was itself None.
            if any(each is not None for each in below.values()):
                found[name] = below
        return found

    return document


FORMAT = Format("jsonl", "application/x-ndjson", JsonLines)
