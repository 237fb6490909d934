"""A memory-mapped file of a process: what is written to it outlives the process, however it ends.

It is mapped because a normal write releases the interpreter lock, and while other threads compute,
getting the lock back takes a hundred times longer than writing to a map.
"""

import mmap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

MOST_PROCESSES = 1_000
"""That share one folder."""


def claim(folder: Path, closing: ExitStack, *, new: bool = False) -> Path:
    """The first file of a folder that no living process has; this process has it until `closing`.
    It may exist already, as a dead process left it, unless it has to be `new`. Raises OSError."""
    for number in range(MOST_PROCESSES):
        path = folder / f"{number}"
        with suppress(Timeout), ExitStack() as locked:
            locked.enter_context(FileLock(f"{path}.lock").acquire(timeout=0))
            if not (new and path.exists()):
                closing.enter_context(locked.pop_all())
                return path
    raise OSError(None, "all files in it are in use")


def mapped(path: Path, blank: bytes, closing: ExitStack) -> mmap.mmap:
    """The mapped file, whose content is `blank` at first. Raises OSError."""
    path.write_bytes(blank)
    with path.open("r+b") as file:
        return closing.enter_context(mmap.mmap(file.fileno(), 0))


@contextmanager
def abandoned(folder: Path) -> Iterator[list[Path]]:
    """Files whose processes are dead; no other process gets them within this context."""
    with ExitStack() as locks:
        found = []
        for path in sorted(each for each in folder.iterdir() if each.name.isdigit()):
            with suppress(Timeout):
                locks.enter_context(FileLock(f"{path}.lock").acquire(timeout=0))
                found.append(path)
        yield found
