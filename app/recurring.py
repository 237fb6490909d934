"""Recurring work, which is repeated whatever went wrong the last time."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context

import structlog

from app.errors import StorageUnavailable

log = structlog.stdlib.get_logger(__name__)


class Recurring:
    """Runs each piece of work again a given number of seconds after it ended."""

    def __init__(self) -> None:
        self._running: list[asyncio.Task[None]] = []
        self._closing = False

    def every(
        self,
        seconds: float,
        name: str,
        work: Callable[[], Awaitable[object]],
        *,
        first_after_s: float = 0,
    ) -> None:
        """`name` tells in the log which work failed."""

        async def again_and_again() -> None:
            await asyncio.sleep(first_after_s)
            while not self._closing:
                await _once(name, work)
                await asyncio.sleep(seconds)

        self._running.append(asyncio.create_task(again_and_again(), context=Context()))

    async def aclose(self) -> None:
        """Cancel what is running."""
        self._closing = True  # a library below may swallow a cancellation
        for each in self._running:
            each.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


async def _once(name: str, work: Callable[[], Awaitable[object]]) -> None:
    try:
        await work()
    except StorageUnavailable as error:
        log.warning("put off", what=name, reason=str(error))
    except Exception:
        log.exception("failed, and is tried again", what=name)
