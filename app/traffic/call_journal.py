"""Notes calls that the database does not have yet where they outlive the process."""

import json
import mmap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from pathlib import Path

import structlog
from pydantic_core import to_json

from app.errors import StorageUnavailable
from app.ledger import LedgerEntry
from app.process_file import abandoned, claim, mapped

log = structlog.stdlib.get_logger(__name__)

MAX_CALLS = 2_048
"""Calls in progress, or answered and not stored: no more are made before some of these are."""

RECORD = 1_024
SLOT = 2 * RECORD
"""Bytes: a record from when the call begins, and one from when it ends. If the second one is only
half written, it does not count, and the first one holds."""

_NAMES = tuple(each.name for each in fields(LedgerEntry))
_VALUES = attrgetter(*_NAMES)


@dataclass(frozen=True, slots=True)
class DeadProcess:
    """
    Attributes:
        entries: of its calls; those whose end it did not see are `estimated`.
    """

    name: str
    entries: tuple[LedgerEntry, ...]


class CallJournal:
    """Each process has a file. A process that is killed leaves its calls there; if the machine
    loses power, they may be lost."""

    def __init__(self, folder: Path | None, process: str) -> None:
        """`folder` is shared by all processes on this machine. None: nothing outlives the process;
        the same, with a warning, if it can't be written."""
        self._folder = folder
        self._process = process
        self._closing = ExitStack()
        self._free = [SLOT * (number + 1) for number in range(MAX_CALLS)]
        self._slots: mmap.mmap | None = None
        self._is_summed = True

    def open(self) -> None:
        """Claim a file."""
        if self._folder is None:
            return
        blank = self._process.encode().ljust(SLOT, b"\0") + bytes(SLOT * MAX_CALLS)
        try:
            # A process may have died since dead ones were looked for: its file must not be lost.
            path = claim(self._folder, self._closing, new=True)
            self._slots = mapped(path, blank, self._closing)
        except OSError as error:
            self._warn(error)
        else:
            self._closing.callback(self._leave, path)

    @contextmanager
    def dead_processes(self) -> Iterator[list[DeadProcess]]:
        """What dead processes left in the folder; deleted unless the context ends with an error."""
        if self._folder is None:
            yield []
            return
        with ExitStack() as locks:
            files: list[Path] = []
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                files = locks.enter_context(abandoned(self._folder))
                found = [_read(path.read_bytes()) for path in files]
            except OSError as error:
                self._warn(error)
                found = []
            yield found
            for path in files[: len(found)]:
                path.unlink(missing_ok=True)

    def begin(self, entry: LedgerEntry) -> int:
        """Note a call that is about to be made; returns its slot, for `end` and `forget`. Raises
        StorageUnavailable when too many calls could not be stored."""
        if not self._free:
            raise StorageUnavailable("Too many calls are not in the ledger yet.")
        slot = self._free.pop()
        self._write(slot, entry)
        return slot

    def end(self, slot: int, entry: LedgerEntry) -> None:
        """Note the bill of a call."""
        self._write(slot + RECORD, entry)

    def forget(self, slot: int) -> None:
        """Free the slot of a call that is in the ledger, or costs nothing."""
        if self._slots is not None:
            self._slots[slot] = self._slots[slot + RECORD] = 0
        self._free.append(slot)

    def close(self, *, summed: bool = True) -> None:
        """Leave what is still noted to another process; and, unless `summed`, this process's name,
        because entries that it wrote are in no sum."""
        self._is_summed = summed
        self._closing.close()

    def _warn(self, error: OSError) -> None:
        log.warning(
            "what a call costs is not known that is under way when the process is killed",
            folder=str(self._folder),
            reason=error.strerror,
        )

    def _leave(self, path: Path) -> None:
        if self._is_summed and len(self._free) == MAX_CALLS:
            path.unlink()

    def _write(self, place: int, entry: LedgerEntry) -> None:
        if self._slots is not None:
            text = (to_json(_VALUES(entry)) + b"\n")[:RECORD]
            # The first byte is written last: until then this is no record, whatever else is there.
            self._slots[place + 1 : place + len(text)] = text[1:]
            self._slots[place] = text[0]


def _read(content: bytes) -> DeadProcess:
    slots = (content[place : place + SLOT] for place in range(SLOT, len(content), SLOT))
    entries = tuple(entry for each in slots if (entry := _entry(each)) is not None)
    return DeadProcess(content[:SLOT].rstrip(b"\0").decode("ascii", "replace"), entries)


def _entry(slot: bytes) -> LedgerEntry | None:
    begun, ended = _record(slot[:RECORD]), _record(slot[RECORD:])
    if slot[:1] == b"[" and begun is None:
        log.error("a call can't be read that a dead process made")
    return ended if begun is not None and ended is not None and ended.id == begun.id else begun


def _record(text: bytes) -> LedgerEntry | None:
    line, end, _ = text.partition(b"\n")
    if not (end and line.startswith(b"[")):
        return None
    try:
        values = dict(zip(_NAMES, json.loads(line), strict=True))
        values["at"] = datetime.fromisoformat(values["at"])
        for name in ("cost_usd", "saved_usd"):
            values[name] = None if values[name] is None else Decimal(values[name])
    except (ValueError, TypeError, ArithmeticError):
        return None
    return LedgerEntry(**values)
