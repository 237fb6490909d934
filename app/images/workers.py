"""The threads that CPU work goes to, so that the event loop never waits for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from app.errors import Overloaded

P = ParamSpec("P")
T = TypeVar("T")


class ImageWorkers:
    """A bounded pool. Pillow and onnxruntime let go of the interpreter lock while they compute."""

    def __init__(self, threads: int, *, queue: int = 256) -> None:
        """At most `queue` pictures wait for a thread."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="image")
        self._room = threads + queue

    async def take(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The first work for a picture. Raises Overloaded when too many wait already."""
        if self._room == 0:
            raise Overloaded("Too many pictures wait to be decoded.")
        self._room -= 1
        try:
            return await self.run(work, *args, **kwargs)
        finally:
            self._room += 1

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """More work for a picture that was taken."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: work(*args, **kwargs))

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
