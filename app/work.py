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
"""Returns the seconds after which it is to run again; None: it is done. It may run twice at the
same time, when the process that runs it is taken for dead."""

REDELIVERED_AFTER_S = 10.0
"""Seconds after which another process runs the tasks that a killed process held."""

LOOKED_EVERY_S = 0.5
"""Seconds between looks for tasks that asked to be run again, and, when all workers are busy, for
others. A task that is kicked runs within milliseconds. In memory each look takes as long, too, and
nothing else runs meanwhile."""

STOPPING_S = 1.0
"""Seconds returned by a task whose process is about to end: then another one may continue it."""

AFTER_A_MISTAKE_S = 30.0
"""Seconds before a task that met an unexpected error is run again."""

UNREACHED_S = 2.0
"""Seconds before a task that could not reach the database is run again."""

LONGEST_WAIT = timedelta(minutes=2)
"""The longest wait that a task asks for before it is run again."""

KICKED_WITHIN_S = 3.0
"""Seconds; if a kick takes longer, Redis counts as gone."""

RECONNECTED_EVERY_S = 1.0


class Work:
    """While a task waits or runs, others of the same name and arguments are dropped."""

    def __init__(
        self, name: str, *, at_once: int, redis_url: str | None = None, runs: bool = True
    ) -> None:
        """`name` is that of the queue, the same in all processes that share `redis_url`; without
        `redis_url` there is only this process. `at_once` is how many tasks this process runs at the
        same time. Without `runs` it leaves them to other processes."""
        self._name = name
        self._url = redis_url or f"memory://{new_id('work')}"
        self._shared = redis_url is not None
        self._at_once = at_once
        self._runs = runs
        self._tasks: dict[str, Task] = {}
        self._connected: asyncio.Future[Docket]
        self._running: asyncio.Task[None] | None = None

    def register(self, name: str, task: Task) -> None:
        """To be called before the start, and before anything is kicked."""
        self._tasks[name] = task

    def start(self) -> None:
        """Begin now if tasks are shared, because other processes may have kicked some; otherwise
        with the first task, because the import takes a third of a second."""
        if self._shared:
            self._begin()

    async def kick(self, name: str, *arguments: Argument) -> None:
        """Have a task run by any process that has room. While Redis is gone this does nothing: the
        search for unfinished work in the database kicks the task again."""
        await self._kick(name, arguments, again=False)

    async def kick_again(self, name: str, *arguments: Argument) -> None:
        """Kick what may have lost its task, or whose task waits for hours because a clock was set
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
        """How many processes run these tasks; at least one, as it may just be starting."""
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
        """Stop what runs. In memory, waiting tasks are forgotten; the database knows the work."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    def _begin(self) -> "asyncio.Future[Docket]":
        if self._running is None:
            self._connected = asyncio.get_running_loop().create_future()
            # An empty context: the work is no part of the request that happens to be the first.
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
                if not (self._shared or has_worked):  # nor would it work later
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
            message_batch=1,  # or the first process takes all tasks, and the others have none
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
    """Whether Redis is at fault."""
    from redis.exceptions import RedisError

    if isinstance(error, BaseExceptionGroup):
        return any(_is_outage(each) for each in error.exceptions)
    return isinstance(error, (RedisError, OSError, TimeoutError))


def _is_of(kind: type[Exception], error: BaseException) -> bool:
    """Whether the error is of this kind; in a group, whether all are."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_of(kind, each) for each in error.exceptions)
    return isinstance(error, kind)


def _perpetual(name: str, task: Task) -> Callable[..., Awaitable[None]]:
    """The task as docket runs it: repeatedly, until it is done."""
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
