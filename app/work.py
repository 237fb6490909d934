"""Background tasks, by name: in this process, or in any that shares a Redis."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

import structlog

from app.identifiers import new_id

if TYPE_CHECKING:
    from docket import Docket

log = structlog.stdlib.get_logger(__name__)

Argument = str | int
Task = Callable[..., Awaitable[float | None]]
"""Returns after how many seconds it is to be run again; None: it is done. It may be run twice at a
time, when the process that ran it is taken for dead."""

REDELIVERED_AFTER_S = 10.0
"""What a process held that was killed is run by another one after it."""

LOOKED_FOR_EVERY_S = 0.05
"""How long a task waits at most until a free process finds it: they are long."""

AFTER_A_MISTAKE_S = 30.0
"""Before a task is run again that met an unexpected error."""


class Work:
    """Twins under one name and one set of arguments are dropped while one waits or runs."""

    def __init__(self, url: str | None = None, *, at_once: int) -> None:
        """`url`: of the Redis that is shared; None: there is none. `at_once`: tasks that this
        process runs at the same time."""
        self._url = url or f"memory://{new_id('work')}"
        self._at_once = at_once
        self._tasks: dict[str, Task] = {}
        self._docket: Docket | None = None
        self._starting = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None

    def register(self, name: str, task: Task) -> None:
        """Before anything is kicked."""
        self._tasks[name] = task

    async def kick(self, name: str, *arguments: Argument) -> None:
        """Have it run, by whoever is free."""
        docket = await self._started()
        key = "/".join([name, *map(str, arguments)])
        await docket.add(name, key=key)(list(arguments))

    async def aclose(self) -> None:
        """Stop what runs. In memory what waits is forgotten; the database knows."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    async def _started(self) -> "Docket":
        """Not before there is work: the import takes a third of a second."""
        async with self._starting:
            if self._docket is None:
                await asyncio.to_thread(import_module, "docket")
                ready = asyncio.get_running_loop().create_future()
                # In no request's name, though one is the first.
                self._running = asyncio.create_task(self._run(ready), context=Context())
                await asyncio.wait([ready, self._running], return_when=asyncio.FIRST_COMPLETED)
                if not ready.done():
                    await self._running  # it failed
                self._docket = ready.result()
            return self._docket

    async def _run(self, ready: "asyncio.Future[Docket]") -> None:
        from docket import Docket, Worker

        resolution = timedelta(seconds=LOOKED_FOR_EVERY_S)
        async with Docket("classifier", self._url) as docket:
            for name, task in self._tasks.items():
                docket.register(_perpetual(task), names=[name])
            async with Worker(
                docket,
                concurrency=self._at_once,
                redelivery_timeout=timedelta(seconds=REDELIVERED_AFTER_S),
                minimum_check_interval=resolution,
                scheduling_resolution=resolution,
            ) as worker:
                ready.set_result(docket)
                await worker.run_forever()


def _perpetual(task: Task) -> Callable[..., Awaitable[None]]:
    """As docket runs it: again and again, until it is done."""
    from docket import Perpetual

    async def run(arguments: list[Argument], perpetual: Any = Perpetual()) -> None:  # noqa: B008
        try:
            again_after_s = await task(*arguments)
        except Exception:
            log.exception("a background task met an unexpected error", arguments=arguments)
            again_after_s = AFTER_A_MISTAKE_S
        if again_after_s is None:
            perpetual.cancel()
        else:
            perpetual.after(timedelta(seconds=again_after_s))

    return run
