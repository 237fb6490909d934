"""Parquet, with native types; JSON values are text."""

import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

try:
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet
except ImportError:
    raise ImportError("extra `parquet`") from None

from app.exports.as_jsonl import json_of
from app.exports.columns import Kind, Row
from app.exports.format import Format, Layout

GROUP_ROWS, GROUP_BYTES = 10_000, 16_000_000
"""Most that is held before a row group is written."""

TYPES: dict[Kind, Any] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "time": pa.timestamp("us", tz="UTC"),
    "texts": pa.list_(pa.string()),
    "numbers": pa.map_(pa.string(), pa.float64()),
    "json": pa.string(),
}


class Parquet:
    def __init__(self, layout: Layout) -> None:
        self._schema = pa.schema([(_text(each.name), TYPES[each.kind]) for each in layout.columns])
        self._values = [_VALUES.get(each.kind) for each in layout.columns]
        self._sent = _Sent()
        self._file = parquet.ParquetWriter(self._sent, self._schema, compression="zstd")
        self._group: list[Any] = []

    def begin(self) -> bytes:
        return b""

    def rows(self, rows: Sequence[Row]) -> bytes:
        if rows:
            arrays = map(self._array, self._schema, self._values, zip(*rows, strict=True))
            self._group.append(pa.record_batch(list(arrays), schema=self._schema))
        rows_held = sum(each.num_rows for each in self._group)
        if rows_held >= GROUP_ROWS or sum(each.nbytes for each in self._group) >= GROUP_BYTES:
            self._write_group()
        return self._sent.take()

    def end(self) -> Iterable[bytes]:
        self._write_group()
        self._file.close()
        return (self._sent.take(),)

    def close(self) -> None:
        if self._file.is_open:
            self._file.close()

    def _write_group(self) -> None:
        if self._group:
            self._file.write_table(pa.Table.from_batches(self._group))
            self._group = []

    def _array(self, field: Any, value: Callable[[Any], Any] | None, column: Sequence[Any]) -> Any:
        if value is not None:
            column = [None if each is None else value(each) for each in column]
        return pa.array(column, type=field.type)


class _Sent(io.RawIOBase):
    """Output of the Parquet writer, to be taken piece by piece: the writer never seeks back."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, chunk: Any) -> int:
        self._chunks.append(bytes(chunk))
        self._written += len(chunk)
        return len(chunk)

    def take(self) -> bytes:
        taken, self._chunks = b"".join(self._chunks), []
        return taken


def _text(text: str) -> str:
    """A lone surrogate, which JSON can hold, can't be encoded in UTF-8."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _json(value: Any) -> str:
    return _text(value) if isinstance(value, str) else json_of(value).decode()


_VALUES: dict[Kind, Callable[[Any], Any]] = {
    "text": _text,
    "texts": lambda texts: [_text(each) for each in texts],
    "numbers": lambda numbers: [(_text(key), each) for key, each in numbers.items()],
    "json": _json,
}

FORMAT = Format("parquet", "application/vnd.apache.parquet", Parquet, compresses=False)
