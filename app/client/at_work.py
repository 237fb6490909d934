"""Batches that a program runs itself, without asking a service to."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from app.batches import BatchOptions, Row, Unusable
from app.errors import DatabaseInUse
from app.parts import Parts, build_parts
from app.settings import Settings
from app.storage import BatchRow

T = TypeVar("T")

LOOKED_AT_EVERY_S = 0.2

TRIED_AGAIN_EVERY_S = 10.0
"""Interval for trying to take over the database from another process, which may end before our
batch does."""

SEARCHED = 100
"""How many of the caller's newest batches to search for an unfinished one."""


@dataclass(frozen=True, slots=True)
class AtWork:
    """
    Attributes:
        caller: the owner of the batches.
        here: this process does the work. Otherwise the service that holds the database does, and
            starts within two seconds.
    """

    parts: Parts
    caller: str
    here: bool

    async def unfinished(self, options: BatchOptions) -> BatchRow | None:
        """The newest batch of this name and domain that has not ended."""
        for each in await self.parts.batches.page(caller=self.caller, before=None, limit=SEARCHED):
            if (each.name, each.domain) == (options.name, options.domain) and not each.is_over:
                return each
        return None

    async def take(self, options: BatchOptions, rows: Iterable[Row | Unusable]) -> BatchRow:
        """Create a batch. Raises what `TakingIn.take` raises."""
        return await self.parts.taking_in.take(options, rows, caller=self.caller)


async def work_through(
    settings: Settings,
    caller: str,
    begin: Callable[[AtWork], Awaitable[BatchRow]],
    *,
    go_on: Callable[[BatchRow], bool],
    end: Callable[[Parts, BatchRow], Awaitable[T]],
) -> T:
    """Work on the batch that `begin` returns, or wait for the service that holds the database to do
    so, until the batch has ended or `go_on`, which regularly receives its progress, returns False;
    then return the result of `end`.

    When cancelled, it takes no more pictures and lets those in progress finish. Raises
    ConfigurationError.
    """
    batch: BatchRow | None = None
    while True:
        async with _at_work(settings, caller) as work:
            if batch is None:
                batch = await begin(work)
            if work.here:
                await work.parts.runner.go_on(batch.id)
            until = None if work.here else time.monotonic() + TRIED_AGAIN_EVERY_S
            async with aclosing(followed(work.parts, batch.id)) as reports:
                async for batch in reports:
                    if not go_on(batch) or batch.is_over:
                        return await end(work.parts, batch)
                    if until is not None and until < time.monotonic():
                        break


@asynccontextmanager
async def _at_work(settings: Settings, caller: str) -> AsyncIterator[AtWork]:
    async with AsyncExitStack() as stack:
        here = True
        try:
            parts = await stack.enter_async_context(build_parts(settings, serving=True))
        except DatabaseInUse:
            here = False
            parts = await stack.enter_async_context(build_parts(settings))
        yield AtWork(parts, caller, here)


async def followed(parts: Parts, batch_id: str) -> AsyncGenerator[BatchRow, None]:
    """Yield the batch's progress repeatedly, last when it has ended."""
    while True:
        batch = await parts.batches.get(batch_id)
        yield batch
        if batch.is_over:
            return
        await asyncio.sleep(LOOKED_AT_EVERY_S)
