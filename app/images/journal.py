"""Notes which pictures are being decoded where it outlives the process, to find those that end the
process each time they are decoded."""

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
"""Deaths of processes that were decoding this picture and no other; then it is refused."""

REFUSED_FOR_S = 24 * 3_600.0
"""Seconds; then it is tried once more, because decoders get better."""

SUSPECTED_FOR_S = 30 * 24 * 3_600.0
"""Seconds that a picture stays suspect if it never comes again."""

DIGEST = re.compile("[0-9a-f]{64}")

NOTHING = b" " * 64 + b"\n"
"""A line without a picture."""


class Journal:
    """Each process has a file with the SHA-256 of each picture that it is decoding. The pictures
    that a dead process left there are suspected of its death. A suspect is decoded alone, so that
    another death leaves no doubt; a process that survives it clears it.
    """

    def __init__(self, folder: Path | None, *, lines: int) -> None:
        """`folder` is shared by all processes on this machine. None: no picture is found out; the
        same, with a warning, if it can't be written. `lines` is how many pictures are decoded at
        once, at most."""
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
        """The context in which a thread decodes the picture of this SHA-256. Raises
        ImageHarmful."""
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
        """To be called when nothing is being decoded any more."""
        self._closing.close()

    def _open(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._suspects.update(_known(folder))
        path = claim(folder, self._closing)
        if path.exists():
            self._blame({*DIGEST.findall(path.read_text("ascii", errors="replace"))})
        self._lines = mapped(path, bytes(self._lines), self._closing)

    def _blame(self, left: set[str]) -> None:
        """Suspect all that was being decoded. A suspect is a file, with one byte for each death at
        which it was the only picture."""
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
        """Other processes may have cleared a suspect, and people may delete its file. Raises
        ImageHarmful."""
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
        with suppress(OSError):  # then it goes on being decoded alone
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
    """Lets many threads decode at a time, or one alone, for which the others wait."""

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
