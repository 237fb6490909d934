"""The interface of a format: built-in ones are modules here, others entry points of packages."""

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
    """Writes one export. Its methods may block: they are called in a thread, one after the other,
    and `close` in any case."""

    def begin(self) -> bytes:
        """Whatever precedes the rows."""

    def rows(self, rows: Sequence[Row]) -> bytes:
        """More rows. Output may be held back for a later call."""

    def end(self) -> Iterable[bytes]:
        """The rest of the output."""

    def close(self) -> None:
        """Remove temporary files."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How an export is to be laid out.

    Attributes:
        safe: prevent spreadsheets from running text as a formula, even by changing the text.
    """

    columns: Sequence[Column]
    safe: bool = True


@dataclass(frozen=True, slots=True)
class Format:
    """
    Attributes:
        write: creates a writer. Raises ConfigurationError when a library is missing.
        compresses: gzip makes it smaller.
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
    """Built-in formats, then those of installed plug-ins."""
    return list(plug_ins(GROUP, OWN))


@cache
def find_format(name: str) -> Format:
    """Raises InvalidRequest when there is no format of this name."""
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
    """The format of a file name, and whether it is compressed: `results.csv.gz`. Raises
    InvalidRequest."""
    plain = name.removesuffix(".gz")
    form = find_format(plain.rpartition(".")[2].lower())
    return form, plain != name
