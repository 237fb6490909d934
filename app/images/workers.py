"""The threads for CPU-bound work, so that the event loop never waits for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from app.errors import Overloaded

P = ParamSpec("P")
T = TypeVar("T")


HEAVY_QUEUE = 16
"""Heavy pictures that may wait while one is worked on."""


class ImageWorkers:
    """A bounded pool. Pillow and onnxruntime release the interpreter lock while they compute.

    Heavy pictures have one thread of their own: however many come, the others stay free.
    """

    def __init__(self, threads: int, *, queue: int = 128) -> None:
        """At most `queue` pictures wait for a thread."""
        self._ordinary = _Lane(threads, queue, "image")
        self._heavy = _Lane(1, HEAVY_QUEUE, "heavy-image")

    @property
    def threads(self) -> int:
        """How many threads there are, of both kinds."""
        return self._ordinary.threads + self._heavy.threads

    async def take(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The first work for a picture. Raises Overloaded when too many wait already."""
        return await self._ordinary.take(partial(work, *args, **kwargs))

    async def take_heavy(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for a picture that takes longer than a tenth of a second."""
        return await self._heavy.take(partial(work, *args, **kwargs))

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """More work for a picture that was taken."""
        return await self._ordinary.run(partial(work, *args, **kwargs))

    def close(self) -> None:
        self._ordinary.close()
        self._heavy.close()


class _Lane:
    """Threads with a bounded queue."""

    def __init__(self, threads: int, queue: int, name: str) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._room = threads + queue

    async def take(self, work: Callable[[], T]) -> T:
        if self._room == 0:
            raise Overloaded("Too many pictures wait to be decoded.")
        self._room -= 1
        try:
            return await self.run(work)
        finally:
            self._room += 1

    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
