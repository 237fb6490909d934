"""The database: reads that wait for nobody, and writes that share commits."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
from filelock import FileLock, Timeout
from sqlalchemy.pool import StaticPool

from app.errors import ConfigurationError, StorageUnavailable

log = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")
Unit = Callable[[sa.Connection], T]
"""What is written together, or read. It runs in a thread of the database. When it writes, its first
statement writes: then SQLite waits for the lock there, where it can, and not after a read, where it
must fail. It may run twice, so it has no effect but on its connection."""

MAX_GROUP = 256
BUSY_TIMEOUT_S = 10
READERS = 3

CHECKPOINT_EVERY = 200
"""Units between two copies of SQLite's write-ahead log into the database. They sync the disk, so
they run beside the writes, not within a commit as SQLite would do after every 1,000 pages."""
MAX_LOG_PAGES = 16_000
"""Writes that never pause keep the log from starting anew; at this length it is SQLite's turn after
all, with little left to copy."""


@dataclass(slots=True)
class _Pending:
    unit: Unit[Any]
    done: asyncio.Future[Any]


class Database:
    """Of concurrent writes, those that wait while one commits are committed together.

    A statement costs a tenth of a millisecond and a change of thread as much: so a whole group is
    handed to the one writing thread at once, instead of each statement by an async driver.
    """

    def __init__(self, url: str) -> None:
        """`sqlite://` is in memory. Raises ConfigurationError for what is no SQLite URL."""
        self.url = parse_url(url)
        self.engine = _engine(self.url)
        self._lock: FileLock | None = None
        self._waiting: list[_Pending] = []
        self._flush: asyncio.Task[None] | None = None
        self._since_checkpoint = 0
        self._checkpoint: asyncio.Future[None] | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="database-writer")
        # A database in memory is its one connection, and that is one thread's.
        self._readers = (
            ThreadPoolExecutor(READERS, thread_name_prefix="database-reader")
            if self.url.database
            else self._writer
        )

    @property
    def lasts(self) -> bool:
        """Longer than this process."""
        return bool(self.url.database)

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
        except OSError as error:
            raise ConfigurationError(f"{self.url.database}.lock: {error.strerror}") from error
        self._lock = lock

    async def read(self, unit: Unit[T]) -> T:
        """Run `unit`, which changes nothing. Raises StorageUnavailable."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, unit)

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
        await self.read(lambda connection: connection.execute(sa.text("SELECT 1")).scalar())

    async def close(self) -> None:
        """Commit what waits, then let go."""
        if self._flush is not None:
            await self._flush
        if self._checkpoint is not None:
            await self._checkpoint
        for threads in {self._readers, self._writer}:
            await asyncio.to_thread(threads.shutdown)
        self.engine.dispose()
        if self._lock is not None:
            self._lock.release()

    async def _flush_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
            outcomes = await loop.run_in_executor(
                self._writer, self._outcomes, [pending.unit for pending in group]
            )
            for pending, (answer, error) in zip(group, outcomes, strict=True):
                if pending.done.done():
                    continue
                if error is None:
                    pending.done.set_result(answer)
                else:
                    pending.done.set_exception(error)
            self._since_checkpoint += len(group)
            self._checkpoint_when_due()

    def _checkpoint_when_due(self) -> None:
        running = self._checkpoint is not None and not self._checkpoint.done()
        if self.url.database and self._since_checkpoint >= CHECKPOINT_EVERY and not running:
            self._since_checkpoint = 0
            loop = asyncio.get_running_loop()
            self._checkpoint = loop.run_in_executor(self._readers, self._copy_log)

    def _copy_log(self) -> None:
        """Waits for nobody, and nobody waits for it; what it must leave is the next one's."""
        with suppress(sa.exc.OperationalError), self.engine.connect() as connection:
            connection.execute(sa.text("PRAGMA wal_checkpoint(PASSIVE)"))

    def _outcomes(self, units: list[Unit[Any]]) -> list[tuple[Any, Exception | None]]:
        """What each unit returned or raised, in a thread."""
        try:
            return [(answer, None) for answer in self._commit(units)]
        except sa.exc.OperationalError as error:
            # Locked or full for one is locked or full for all: they must not wait in turn.
            return [(None, _ours(error, "written"))] * len(units)
        except Exception as error:
            if len(units) == 1:
                return [(None, error)]
        # One unit failed, and took the others' transaction with it: each on its own.
        return [outcome for unit in units for outcome in self._outcomes([unit])]

    def _commit(self, units: list[Unit[Any]]) -> list[Any]:
        with self.engine.begin() as connection:
            return [unit(connection) for unit in units]

    def _read(self, unit: Unit[T]) -> T:
        try:
            with self.engine.connect() as connection:
                return unit(connection)
        except sa.exc.OperationalError as error:
            raise _ours(error, "read") from error


def _ours(error: sa.exc.OperationalError, what: str) -> StorageUnavailable:
    log.error("the database fails", reason=str(error.orig))
    unavailable = StorageUnavailable(f"The database can't be {what}.")
    unavailable.__cause__ = error
    return unavailable


def _seen(done: asyncio.Future[Any]) -> None:
    """A failure that nobody waits for any more is no news for the event loop."""
    if not done.cancelled():
        done.exception()


def parse_url(url: str) -> sa.URL:
    """Raises ConfigurationError for what this service can't use."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise ConfigurationError("DATABASE_URL is not a database URL") from None
    if parsed.get_backend_name() != "sqlite":
        raise ConfigurationError(
            f"DATABASE_URL: {parsed.get_backend_name()} is not supported, use sqlite:///FILE"
        )
    in_memory = parsed.database in (None, "", ":memory:")
    return sa.URL.create("sqlite", database=None if in_memory else parsed.database)


def _engine(url: sa.URL) -> sa.Engine:
    if url.database:
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"DATABASE_URL: {url.database}: {error.strerror}") from error
    engine = sa.create_engine(
        url,
        poolclass=sa.QueuePool if url.database else StaticPool,
        # Reads begin no transaction and writes end theirs: nothing is left to roll back.
        pool_reset_on_return=None,
        hide_parameters=True,
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
    )

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            f"wal_autocheckpoint={MAX_LOG_PAGES}",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine
