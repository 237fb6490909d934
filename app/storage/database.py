"""The database: one engine, reads that wait for nobody, and writes that share commits."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from app.errors import ConfigurationError, StorageUnavailable

T = TypeVar("T")
Unit = Callable[[AsyncConnection], Awaitable[T]]
"""What is written together. Its first statement writes: then SQLite waits for the lock there, where
it can, and not after a read, where it must fail. It may run twice, so it has no effect but on its
connection."""

MAX_GROUP = 256
BUSY_TIMEOUT_S = 10


@dataclass(slots=True)
class _Pending:
    unit: Unit[Any]
    done: asyncio.Future[Any]


class Database:
    """Of concurrent writes, those that wait while one commits are committed together."""

    def __init__(self, url: str) -> None:
        """`sqlite://` is in memory. Raises ConfigurationError for what is no SQLite URL."""
        self.url = _parse(url)
        self.engine = _engine(self.url)
        self._lock: FileLock | None = None
        self._waiting: list[_Pending] = []
        self._flush: asyncio.Task[None] | None = None
        self._reading: set[asyncio.Task[Any]] = set()

    @property
    def description(self) -> str:
        """For people: `sqlite:///data/app.db`, `memory`."""
        return f"sqlite:///{self.url.database}" if self.url.database else "memory"

    def lock(self) -> None:
        """Keep other serving processes off this file until `close`. Raises ConfigurationError."""
        if not self.url.database:
            return
        lock = FileLock(f"{self.url.database}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ConfigurationError(
                f"{self.url.database} is in use by another running service: stop that one, or give "
                "this one a DATABASE_URL of its own"
            ) from None
        self._lock = lock

    async def read(self, unit: Unit[T]) -> T:
        """Run `unit`, which changes nothing. Raises StorageUnavailable.

        A caller that is cancelled meanwhile does not break it off: a database in memory would be
        gone with its connection.
        """
        task = asyncio.create_task(self._read(unit))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)
        task.add_done_callback(_seen)
        return await asyncio.shield(task)

    async def write(self, unit: Unit[T]) -> T:
        """Run `unit` in a transaction and return when it is committed.

        A caller that is cancelled meanwhile does not undo it. Raises what `unit` raises, and
        StorageUnavailable.
        """
        pending = _Pending(unit, asyncio.get_running_loop().create_future())
        pending.done.add_done_callback(_seen)
        self._waiting.append(pending)
        if self._flush is None or self._flush.done():
            self._flush = asyncio.create_task(self._flush_waiting())
        return await asyncio.shield(pending.done)

    async def ping(self) -> None:
        """Raises StorageUnavailable."""
        await self.read(lambda connection: connection.execute(sa.text("SELECT 1")))

    async def close(self) -> None:
        """Commit what waits, then let go."""
        if self._flush is not None:
            await self._flush
        await asyncio.gather(*self._reading, return_exceptions=True)
        await self.engine.dispose()
        if self._lock is not None:
            self._lock.release()

    async def _read(self, unit: Unit[T]) -> T:
        try:
            async with self.engine.connect() as connection:
                return await unit(connection)
        except sa.exc.OperationalError as error:
            raise StorageUnavailable("The database can't be read.") from error

    async def _flush_waiting(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
            try:
                await self._commit(group)
            except Exception:
                # One unit failed, and took the others' transaction with it: each on its own.
                for pending in group:
                    await self._commit_alone(pending)

    async def _commit(self, group: list[_Pending]) -> None:
        async with self.engine.begin() as connection:
            answers = [await pending.unit(connection) for pending in group]
        for pending, answer in zip(group, answers, strict=True):
            if not pending.done.done():
                pending.done.set_result(answer)

    async def _commit_alone(self, pending: _Pending) -> None:
        try:
            await self._commit([pending])
        except sa.exc.OperationalError as error:
            unavailable = StorageUnavailable("The database can't be written.")
            unavailable.__cause__ = error
            pending.done.set_exception(unavailable)
        except Exception as error:
            pending.done.set_exception(error)


def _seen(done: asyncio.Future[Any]) -> None:
    """A failure that nobody waits for any more is no news for the event loop."""
    if not done.cancelled():
        done.exception()


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise ConfigurationError("DATABASE_URL is not a database URL") from None
    if parsed.get_backend_name() != "sqlite":
        raise ConfigurationError(
            f"DATABASE_URL: {parsed.get_backend_name()} is not supported, use sqlite:///FILE"
        )
    name = parsed.database
    in_memory = name in (None, "", ":memory:")
    return sa.URL.create("sqlite+aiosqlite", database=None if in_memory else name)


def _engine(url: sa.URL) -> AsyncEngine:
    if url.database:
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"DATABASE_URL: {url.database}: {error.strerror}") from error
    # A database in memory lives in its one connection, which must then be nobody else's meanwhile.
    pool_size = 4 if url.database else 1
    engine = create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=pool_size,
        max_overflow=0,
        # Reads begin no transaction and writes end theirs: nothing is left to roll back.
        pool_reset_on_return=None,
        connect_args={"timeout": BUSY_TIMEOUT_S},
    )

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine
