"""What is being decoded, noted where it outlives the process: so a picture that ends the process
each time it is decoded is found out."""

import mmap
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import structlog

from app.errors import ImageHarmful
from app.process_file import claim, mapped

log = structlog.stdlib.get_logger(__name__)

MOST_DEATHS = 2
"""Of processes that decoded this picture and no other; then it is refused."""

REFUSED_FOR_S = 24 * 3_600.0
"""Then it is tried once more: decoders get better."""

SUSPECTED_FOR_S = 30 * 24 * 3_600.0
"""Of what never came again."""

DIGEST = re.compile("[0-9a-f]{64}")

NOTHING = b" " * 64 + b"\n"
"""A line of no picture."""


class Journal:
    """Each process has a file, with the SHA-256 of each picture that it decodes just now. What a
    dead process left there is suspected of its death. While a suspect is decoded no other picture
    is, so that the next death leaves no doubt; who survives it clears it.
    """

    def __init__(self, folder: Path | None, *, lines: int) -> None:
        """`folder`: of all processes on this machine; None: nothing is found out, nor, with a
        warning, where it can't be written. `lines`: pictures that are decoded at once, at most."""
        self._turns = _Turns()
        self._free = [number * len(NOTHING) for number in range(lines)]
        self._folder = folder or Path()
        self._suspects: set[str] = set()
        self._closing = ExitStack()
        self._lines: mmap.mmap | bytearray = bytearray(NOTHING * lines)
        if folder is not None:
            try:
                self._open(folder)
            except OSError as error:
                log.warning(
                    "a picture that ends the process will not be found out",
                    folder=str(folder),
                    reason=error.strerror,
                )

    @contextmanager
    def decoding(self, digest: str) -> Iterator[None]:
        """Within it a thread decodes the picture of this SHA-256. Raises ImageHarmful."""
        alone = digest in self._suspects and self._is_suspect(digest)
        self._turns.begin(alone=alone)
        line = self._free.pop()
        try:
            self._write(line, digest.encode() + b"\n")
            yield
        finally:
            self._write(line, NOTHING)
            self._free.append(line)
            self._turns.end(alone=alone)
        if alone:
            self._clear(digest)

    def close(self) -> None:
        """When nothing is decoded any more."""
        self._closing.close()

    def _open(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._suspects.update(_known(folder))
        path = claim(folder, self._closing)
        if path.exists():
            self._blame({*DIGEST.findall(path.read_text("ascii", errors="replace"))})
        self._lines = mapped(path, bytes(self._lines), self._closing)

    def _blame(self, left: set[str]) -> None:
        """All that was being decoded. Each is a file, of a byte for each death it was alone at."""
        self._suspects |= left
        for digest in left:
            suspect = self._folder / digest
            with suspect.open("ab") as file:
                file.write(b"." if len(left) == 1 else b"")
                deaths = file.tell()
            suspect.touch()
            if deaths >= MOST_DEATHS:
                log.error("a picture ends the process and is refused from now on", sha256=digest)
            else:
                log.warning("a process ended while it decoded a picture", sha256=digest)

    def _is_suspect(self, digest: str) -> bool:
        """Others may have cleared it, and people may delete it. Raises ImageHarmful."""
        try:
            found = (self._folder / digest).stat()
        except FileNotFoundError:
            self._suspects.discard(digest)
            return False
        if found.st_size >= MOST_DEATHS and time.time() < found.st_mtime + REFUSED_FOR_S:
            raise ImageHarmful("Decoding this picture ended the service, several times.")
        return True

    def _clear(self, digest: str) -> None:
        self._suspects.discard(digest)
        with suppress(OSError):  # then it is decoded alone for longer
            (self._folder / digest).unlink(missing_ok=True)

    def _write(self, line: int, text: bytes) -> None:
        self._lines[line : line + len(text)] = text


def _known(folder: Path) -> Iterator[str]:
    """Suspects of earlier deaths."""
    for each in folder.iterdir():
        if DIGEST.fullmatch(each.name):
            with suppress(FileNotFoundError):  # another process cleared it
                if time.time() < each.stat().st_mtime + SUSPECTED_FOR_S:
                    yield each.name
                else:
                    each.unlink()


class _Turns:
    """Many at a time, or one alone, before whom the others wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._under_way = 0
        self._alone = False

    def begin(self, *, alone: bool) -> None:
        with self._changed:
            while self._alone:
                self._changed.wait()
            self._alone = alone
            self._under_way += 1
            while alone and self._under_way > 1:
                self._changed.wait()

    def end(self, *, alone: bool) -> None:
        with self._changed:
            self._under_way -= 1
            if alone:
                self._alone = False
            self._changed.notify_all()
