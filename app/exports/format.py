"""What a format is: a file here for each of ours, a package's entry point for others'."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint
from typing import Protocol

from app.errors import ConfigurationError, InvalidRequest
from app.exports.columns import Column, Row
from app.plug_ins import plug_ins

GROUP = "classifier.exporters"


class Writer(Protocol):
    """Writes one export. Its methods may take their time: they are called in a thread, one after
    the other, and `close` in any case."""

    def begin(self) -> bytes:
        """What stands before the rows."""

    def rows(self, rows: Sequence[Row]) -> bytes:
        """Some more rows. What need not be sent yet may come later."""

    def end(self) -> Iterable[bytes]:
        """What is left."""

    def close(self) -> None:
        """Leave nothing behind."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What an export is to look like.

    Attributes:
        safe: no text may be run as a formula by a spreadsheet, though that changes it.
    """

    columns: Sequence[Column]
    safe: bool = True


@dataclass(frozen=True, slots=True)
class Format:
    """
    Attributes:
        write: what makes a writer. Raises ConfigurationError when a library is missing.
        compresses: worth a gzip.
    """

    name: str
    media_type: str
    write: Callable[[Layout], Writer]
    compresses: bool = True


OWN = tuple(
    EntryPoint(name, f"app.exports.as_{name}:FORMAT", GROUP)
    for name in ("json", "jsonl", "csv", "xml", "parquet", "xlsx")
)


def format_names() -> list[str]:
    """Ours, then those of installed plug-ins."""
    return list(plug_ins(GROUP, OWN))


@cache
def find_format(name: str) -> Format:
    """Raises InvalidRequest when there is none of this name."""
    known = plug_ins(GROUP, OWN)
    found = known.get(name)
    if found is None:
        raise InvalidRequest(f"format: there is no {name[:64]!r}. Known: {', '.join(known)}.")
    try:
        form: Format = found.load()
    except ImportError as error:
        raise ConfigurationError(f"The format {name} can't be used: {error}") from error
    return form


def format_of(name: str) -> tuple[Format, bool]:
    """Of a file by its name, and whether it is packed: `results.csv.gz`. Raises InvalidRequest."""
    plain = name.removesuffix(".gz")
    form = find_format(plain.rpartition(".")[2].lower())
    return form, plain != name
