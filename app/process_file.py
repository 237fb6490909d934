"""A file of a process, mapped: what was written there outlives it, however it ends.

Not a file that is written: that lets go of the interpreter lock, and where other threads compute it
comes back a hundred times later than this takes.
"""

import mmap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

MOST_PROCESSES = 1_000
"""That have one folder."""


def claim(folder: Path, closing: ExitStack, *, new: bool = False) -> Path:
    """The first file of a folder that no living process has: this one's until `closing`. It may be
    there already, as a dead one left it, unless it is to be `new`. Raises OSError."""
    for number in range(MOST_PROCESSES):
        path = folder / f"{number}"
        with suppress(Timeout), ExitStack() as locked:
            locked.enter_context(FileLock(f"{path}.lock").acquire(timeout=0))
            if not (new and path.exists()):
                closing.enter_context(locked.pop_all())
                return path
    raise OSError(None, "all files in it are in use")


def mapped(path: Path, blank: bytes, closing: ExitStack) -> mmap.mmap:
    """The file, which begins as `blank`. Raises OSError."""
    path.write_bytes(blank)
    with path.open("r+b") as file:
        return closing.enter_context(mmap.mmap(file.fileno(), 0))


@contextmanager
def abandoned(folder: Path) -> Iterator[list[Path]]:
    """Files whose processes are dead; nobody else gets them within."""
    with ExitStack() as locks:
        found = []
        for path in sorted(each for each in folder.iterdir() if each.name.isdigit()):
            with suppress(Timeout):
                locks.enter_context(FileLock(f"{path}.lock").acquire(timeout=0))
                found.append(path)
        yield found
