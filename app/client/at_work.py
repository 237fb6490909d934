"""Batches that a program has worked on here, without asking a service to."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from app.batches import BatchOptions
from app.batches.rows import Row, Unusable
from app.errors import ConfigurationError
from app.parts import Parts, build_parts
from app.settings import Settings
from app.storage import BatchRow

LOOKED_AT_EVERY_S = 0.2
SEARCHED = 100
"""Of the caller's newest batches, for one that goes on."""


@dataclass(frozen=True, slots=True)
class AtWork:
    """
    Attributes:
        caller: whose batches they are.
        here: this process does the work. Otherwise a service that has the database does, and
            begins within a minute.
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

    async def begin(self, batch: BatchRow) -> None:
        """Have it worked on, or gone on with."""
        if self.here:
            await self.parts.runner.go_on(batch.id)


@asynccontextmanager
async def at_work(settings: Settings, caller: str) -> AsyncIterator[AtWork]:
    """Leaving it lets the pictures under way end and takes no more. Raises ConfigurationError."""
    async with AsyncExitStack() as stack:
        here = True
        try:
            parts = await stack.enter_async_context(build_parts(settings, serving=True))
        except ConfigurationError as error:
            if "in use" not in str(error):
                raise
            here = False
            parts = await stack.enter_async_context(build_parts(settings))
        yield AtWork(parts, caller, here)


async def followed(parts: Parts, batch_id: str) -> AsyncIterator[BatchRow]:
    """How far it is, again and again; last when it is over."""
    while True:
        batch = await parts.batches.get(batch_id)
        yield batch
        if batch.is_over:
            return
        await asyncio.sleep(LOOKED_AT_EVERY_S)
