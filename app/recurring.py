"""What is done again and again, whatever went wrong the last time."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context

import structlog

from app.errors import StorageUnavailable

log = structlog.stdlib.get_logger(__name__)


class Recurring:
    """Each thing at once, and then again so many seconds after it ended."""

    def __init__(self) -> None:
        self._running: list[asyncio.Task[None]] = []

    def every(self, seconds: float, name: str, work: Callable[[], Awaitable[object]]) -> None:
        """`name` says in the log what failed."""
        running = asyncio.create_task(_again_and_again(seconds, name, work), context=Context())
        self._running.append(running)

    async def aclose(self) -> None:
        """What is under way is cut off."""
        for each in self._running:
            each.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


async def _again_and_again(
    seconds: float, name: str, work: Callable[[], Awaitable[object]]
) -> None:
    while True:
        try:
            await work()
        except StorageUnavailable as error:
            log.warning("put off", what=name, reason=str(error))
        except Exception:
            log.exception("failed, and is tried again", what=name, seconds=seconds)
        await asyncio.sleep(seconds)
