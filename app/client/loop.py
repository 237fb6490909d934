"""An event loop in a thread of its own, so that blocking calls work anywhere."""

import asyncio
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import wait
from types import TracebackType
from typing import Any, Self, TypeVar, cast

T = TypeVar("T")

LOOKED_UP_EVERY_S = 0.1
"""Interval for checking a running call, for Ctrl-C and to show its progress."""

ENDED_WITHIN_S = 15.0
"""Time for interrupted or closed work to end; after that it is abandoned."""


class LoopThread:
    """Also works where a loop is already running, as in a notebook. The first call starts the
    thread."""

    def __init__(self, name: str, at_end: Callable[[], Awaitable[None]]) -> None:
        """`at_end` is awaited in the loop, last."""
        self._name = name
        self._at_end = at_end
        self._lock = threading.Lock()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event
        self._calls: set[asyncio.Task[Any]] = set()

    def call(self, work: Coroutine[Any, Any, T], meanwhile: Callable[[], None] = lambda: None) -> T:
        """Return or raise what `work` does. `meanwhile` is called regularly, in the calling thread.
        When the wait is interrupted, `work` is cancelled and given time to end."""
        try:
            self._start()
        except BaseException:
            work.close()
            raise
        ended = threading.Event()
        future = asyncio.run_coroutine_threadsafe(self._followed(work, ended), self._loop)
        try:
            while not wait([future], LOOKED_UP_EVERY_S).done:
                meanwhile()
        except BaseException:
            future.cancel()
            ended.wait(ENDED_WITHIN_S)
            raise
        return future.result()

    def end(self) -> None:
        """Start closing, without waiting for it."""
        with self._lock:
            ending, self._closed = self._closed, True
            if not ending and self._thread is not None and self._thread.is_alive():
                self._loop.call_soon_threadsafe(self._end.set)

    def close(self) -> None:
        """Cancel running calls, and end the thread."""
        self.end()
        if self._thread is not None:
            self._thread.join(ENDED_WITHIN_S)

    def _start(self) -> None:
        with self._lock:
            if self._closed:
                raise RuntimeError(f"This {self._name} is closed.")
            if self._thread is None:
                ready = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(ready,), name=self._name, daemon=True
                )
                self._thread.start()
                ready.wait()
                # Not atexit: when that runs, no thread may be started, and closing needs some.
                threading._register_atexit(_close, weakref.ref(self))  # type: ignore[attr-defined]
            elif not self._thread.is_alive():
                raise RuntimeError(f"This {self._name} belongs to another process: make a new one.")

    def _run(self, ready: threading.Event) -> None:
        # Not asyncio.run: it ends by starting another thread, which Python 3.12 may refuse at exit.
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._serve(ready))
        finally:
            loop.close()

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        ready.set()
        await self._end.wait()
        await _cancelled(self._calls)
        await self._at_end()
        await _cancelled(asyncio.all_tasks() - {asyncio.current_task()})
        await self._loop.shutdown_asyncgens()

    async def _followed(self, work: Coroutine[Any, Any, T], ended: threading.Event) -> T:
        call = cast("asyncio.Task[Any]", asyncio.current_task())
        self._calls.add(call)
        try:
            return await work
        finally:
            self._calls.discard(call)
            ended.set()


class Closing:
    """The common part of the facade's synchronous classes: calls and closing."""

    def __init__(self, at_end: Callable[[], Awaitable[None]]) -> None:
        self._thread = LoopThread(type(self).__name__, at_end)
        # A discarded instance ends too; at exit, the thread's own hook does that.
        weakref.finalize(self, self._thread.end).atexit = False

    def close(self) -> None:
        """Cancel what is running and wait for it to end. The instance can't be used any more."""
        self._thread.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


async def _cancelled(tasks: Iterable[asyncio.Task[Any] | None]) -> None:
    ended = [task for task in tasks if task is not None]
    for task in ended:
        task.cancel()
    await asyncio.gather(*ended, return_exceptions=True)


def _close(thread: "weakref.ref[LoopThread]") -> None:
    if (known := thread()) is not None:
        known.close()
