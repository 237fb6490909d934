"""Background tasks, by name: in this process, or in any that shares a Redis."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import Context
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

import structlog

from app.errors import StorageUnavailable
from app.identifiers import new_id

if TYPE_CHECKING:
    from docket import Docket, Worker

log = structlog.stdlib.get_logger(__name__)

Argument = str | int
Task = Callable[..., Awaitable[float | None]]
"""Returns after how many seconds it is to be run again; None: it is done. It may be run twice at a
time, when the process that ran it is taken for dead."""

REDELIVERED_AFTER_S = 10.0
"""What a process held that was killed is run by another one after it."""

LOOKED_EVERY_S = 0.5
"""For tasks that asked to be run again, and, when all hands are full, for others. One that is
kicked is run within milliseconds. In memory each look takes as long, in which nothing else runs."""

STOPPING_S = 1.0
"""What a task returns whose process is about to end: until another one may go on with it."""

AFTER_A_MISTAKE_S = 30.0
"""Before a task is run again that met an unexpected error."""

UNREACHED_S = 2.0
"""Before one is run again that the database did not answer."""

LONGEST_WAIT = timedelta(minutes=2)
"""That a task asks for before it is run again."""

KICKED_WITHIN_S = 3.0
"""Or Redis counts as gone."""

RECONNECTED_EVERY_S = 1.0


class Work:
    """Twins under one name and one set of arguments are dropped while one waits or runs."""

    def __init__(
        self, name: str, *, at_once: int, redis_url: str | None = None, runs: bool = True
    ) -> None:
        """`name`: of the tasks that belong together, the same in all processes that share
        `redis_url`; without it there is this process only. `at_once`: tasks that this process runs
        at the same time. Not `runs`: others do."""
        self._name = name
        self._url = redis_url or f"memory://{new_id('work')}"
        self._shared = redis_url is not None
        self._at_once = at_once
        self._runs = runs
        self._tasks: dict[str, Task] = {}
        self._connected: asyncio.Future[Docket]
        self._running: asyncio.Task[None] | None = None

    def register(self, name: str, task: Task) -> None:
        """Before the start, and before anything is kicked."""
        self._tasks[name] = task

    def start(self) -> None:
        """Where tasks are shared others may have kicked some; else not before there is one: the
        import takes a third of a second."""
        if self._shared:
            self._begin()

    async def kick(self, name: str, *arguments: Argument) -> None:
        """Have it run, by whoever is free. With Redis gone it is not: who finds unfinished work in
        the database kicks it again."""
        await self._kick(name, arguments, again=False)

    async def kick_again(self, name: str, *arguments: Argument) -> None:
        """What may have lost its task, or has one that waits for hours, because a clock was set
        back."""
        await self._kick(name, arguments, again=True)

    async def _kick(self, name: str, arguments: Sequence[Argument], *, again: bool) -> None:
        key = "/".join([name, *map(str, arguments)])
        try:
            async with asyncio.timeout(KICKED_WITHIN_S if self._shared else None):
                docket = await asyncio.shield(self._begin())
                if again and await _waits_too_long(docket, key):
                    await docket.replace(name, datetime.now(UTC), key)(list(arguments))
                else:
                    await docket.add(name, key=key)(list(arguments))
        except Exception as error:
            if not (self._shared and _is_outage(error)):
                raise
            log.warning("Redis is gone: a task is kicked later", task=name)

    async def workers(self) -> int:
        """How many processes run these tasks; at least one, for it may just be starting."""
        if not self._shared or self._running is None or not self._connected.done():
            return 1
        try:
            async with asyncio.timeout(KICKED_WITHIN_S):
                return max(1, len(await self._connected.result().workers()))
        except Exception as error:
            if not _is_outage(error):
                raise
            return 1

    async def aclose(self) -> None:
        """Stop what runs. In memory what waits is forgotten; the database knows."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    def _begin(self) -> "asyncio.Future[Docket]":
        if self._running is None:
            self._connected = asyncio.get_running_loop().create_future()
            # In no request's name, though one is the first.
            self._running = asyncio.create_task(self._run(), context=Context())
        return self._connected

    async def _run(self) -> None:
        """Until it is cancelled; Redis may come and go."""
        await asyncio.to_thread(import_module, "docket")
        has_worked = False
        while True:
            try:
                return await self._work()  # docket swallows a cancellation
            except Exception as error:
                has_worked = has_worked or self._connected.done()
                if not (self._shared or has_worked):  # there is no reason why it should later
                    self._connected.set_exception(error)
                    raise
                if self._shared and _is_outage(error):
                    log.warning("background work waits for Redis", reason=str(error))
                else:
                    log.exception("background work begins anew after an unexpected error")
            if self._connected.done():
                self._connected = asyncio.get_running_loop().create_future()
            await asyncio.sleep(RECONNECTED_EVERY_S)

    async def _work(self) -> None:
        from docket import Docket

        async with Docket(f"classifier-{self._name}", self._url) as docket:
            for name, task in self._tasks.items():
                docket.register(_perpetual(name, task), names=[name])
            if not self._runs:
                self._connected.set_result(docket)
                await asyncio.Event().wait()
            async with self._worker(docket) as worker:
                self._connected.set_result(docket)
                await worker.run_forever()

    def _worker(self, docket: "Docket") -> "Worker":
        from docket import Worker

        return Worker(
            docket,
            name=new_id("wrk"),
            concurrency=self._at_once,
            message_batch=1,  # or whoever is first takes all, and the others have nothing to do
            redelivery_timeout=timedelta(seconds=REDELIVERED_AFTER_S),
            reconnection_delay=timedelta(seconds=RECONNECTED_EVERY_S),
            minimum_check_interval=timedelta(seconds=LOOKED_EVERY_S),
            scheduling_resolution=timedelta(seconds=LOOKED_EVERY_S),
        )


async def _waits_too_long(docket: "Docket", key: str) -> bool:
    from docket.execution import ExecutionState

    found = await docket.get_execution(key)
    return (
        found is not None
        and found.state is ExecutionState.SCHEDULED
        and found.when > datetime.now(UTC) + LONGEST_WAIT
    )


def _is_outage(error: BaseException) -> bool:
    """Whether it is Redis that is at fault."""
    from redis.exceptions import RedisError

    if isinstance(error, BaseExceptionGroup):
        return any(_is_outage(each) for each in error.exceptions)
    return isinstance(error, (RedisError, OSError, TimeoutError))


def _is_of(kind: type[Exception], error: BaseException) -> bool:
    """All of it, where it is a group."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_of(kind, each) for each in error.exceptions)
    return isinstance(error, kind)


def _perpetual(name: str, task: Task) -> Callable[..., Awaitable[None]]:
    """As docket runs it: again and again, until it is done."""
    from docket import Perpetual

    async def run(arguments: list[Argument], perpetual: Any = Perpetual()) -> None:  # noqa: B008
        try:
            again_after_s = await task(*arguments)
        except Exception as error:
            if _is_of(StorageUnavailable, error):
                log.warning("put off", what=name, arguments=arguments, reason=str(error))
                again_after_s = UNREACHED_S
            else:
                log.exception("a background task met an unexpected error", arguments=arguments)
                again_after_s = AFTER_A_MISTAKE_S
        if again_after_s is None:
            perpetual.cancel()
        else:
            perpetual.after(timedelta(seconds=again_after_s))

    return run
