"""Retries for important writes: the database may be locked, full or away for a while."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

from app.errors import StorageUnavailable

T = TypeVar("T")

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0


async def patiently(
    write: Callable[[], Awaitable[T]],
    waits_s: Iterable[float],
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """Retry after each of these waits. Raises StorageUnavailable when there are no more."""
    waits = iter(waits_s)
    while True:
        try:
            return await write()
        except StorageUnavailable:
            wait_s = next(waits, None)
            if wait_s is None:
                raise
        await sleep(wait_s)


def until_set(stopping: asyncio.Event) -> Iterator[float]:
    """Increasing waits, up to LONGEST_WAIT_S, until the process is about to end."""
    wait_s = FIRST_WAIT_S
    while not stopping.is_set():
        yield wait_s
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)
