"""Batches that a program has worked on here, without asking a service to."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from app.batches import BatchOptions
from app.batches.rows import Row, Unusable
from app.errors import DatabaseInUse
from app.parts import Parts, build_parts
from app.settings import Settings
from app.storage import BatchRow

T = TypeVar("T")

LOOKED_AT_EVERY_S = 0.2

TRIED_AGAIN_EVERY_S = 10.0
"""To get the database from another process, which may end before it is done with our batch."""

SEARCHED = 100
"""Of the caller's newest batches, for one that goes on."""


@dataclass(frozen=True, slots=True)
class AtWork:
    """
    Attributes:
        caller: whose batches they are.
        here: this process does the work. Otherwise the service that has the database does, and
            begins within two seconds.
    """

    parts: Parts
    caller: str
    here: bool

    async def unfinished(self, options: BatchOptions) -> BatchRow | None:
        """The newest batch of this name and domain that is not over."""
        for each in await self.parts.batches.page(caller=self.caller, before=None, limit=SEARCHED):
            if (each.name, each.domain) == (options.name, options.domain) and not each.is_over:
                return each
        return None

    async def take(self, options: BatchOptions, rows: Iterable[Row | Unusable]) -> BatchRow:
        """A new batch. Raises what taking it in raises."""
        return await self.parts.taking_in.take(options, rows, caller=self.caller)


async def work_through(
    settings: Settings,
    caller: str,
    begin: Callable[[AtWork], Awaitable[BatchRow]],
    *,
    go_on: Callable[[BatchRow], bool],
    end: Callable[[Parts, BatchRow], Awaitable[T]],
) -> T:
    """Work on the batch that `begin` gives, or wait for the service that has the database, until it
    is over or `go_on`, which is told now and then how far it is, says no; then `end` is returned.

    Cancelled, it takes no more pictures and lets those under way end. Raises ConfigurationError.
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
    """How far it is, again and again; last when it is over."""
    while True:
        batch = await parts.batches.get(batch_id)
        yield batch
        if batch.is_over:
            return
        await asyncio.sleep(LOOKED_AT_EVERY_S)
