"""The database: reads that run concurrently, and writes that share commits."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
from filelock import FileLock, Timeout
from sqlalchemy.sql.selectable import TypedReturnsRows

from app.errors import ConfigurationError, DatabaseInUse, InvalidRequest, StorageUnavailable
from app.storage.engine import create_engine, describe, is_postgres, parse_url

log = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")
Values = Mapping[str, Any]
"""A statement's parameters or a row's columns, by name."""
Unit = Callable[[sa.Connection], T]
"""Statements that run together in one transaction, or a read. It runs in a database thread. If it
writes, its first statement must be a write: SQLite can then wait for the write lock; after a read,
it would fail instead. It may run twice, so its only effects must be on its connection."""


def both(*units: Unit[None] | None) -> Unit[None] | None:
    """Both units in one transaction, in this order; None: there is nothing to do."""
    found = [each for each in units if each is not None]
    if len(found) < 2:
        return found[0] if found else None

    def unit(connection: sa.Connection) -> None:
        for each in found:
            each(connection)

    return unit


MAX_GROUP = 256
READERS = 3

OWNER = 0x636C6173
"""Key of the PostgreSQL advisory lock for exclusive use of the database: `clas`."""

UNAVAILABLE = (sa.exc.OperationalError, sa.exc.InternalError)
"""Locked, full, gone, or read-only."""

UNSUITABLE = (sa.exc.DataError, OverflowError)
"""A NUL in a text, a number that is too large."""

DEADLOCKS = ("40P01", "40001")
"""PostgreSQL's error codes for a deadlock and for a serialization failure."""

ATTEMPTS = 5
"""Attempts at a unit that PostgreSQL aborts because of a deadlock with another process."""

CHECKPOINT_EVERY = 200
"""Units between two checkpoints of SQLite's write-ahead log. A checkpoint syncs the disk, so it
runs beside the writes, not within a commit as SQLite would do after every 1,000 pages."""


@dataclass(slots=True)
class _Pending:
    unit: Unit[Any]
    done: asyncio.Future[Any]


class Database:
    """Group commit: writes that arrive while a commit is running are committed together.

    A statement costs a tenth of a millisecond, and so does a change of thread: so a whole group is
    handed to the one writer thread at once, instead of each statement by an async driver.
    """

    def __init__(self, url: str) -> None:
        """`sqlite://` is in memory. Raises ConfigurationError if `url` is not a URL of SQLite or
        PostgreSQL."""
        self.url = parse_url(url)
        self.engine = create_engine(self.url)
        self.is_postgres = is_postgres(self.url)
        # In PostgreSQL, reads need no transaction, which would cost two more round trips.
        self._reading = (
            self.engine.execution_options(isolation_level="AUTOCOMMIT")
            if self.is_postgres
            else self.engine
        )
        self._lock = ExitStack()
        self._owner: sa.Connection | None = None
        self._waiting: list[_Pending] = []
        self._flush: asyncio.Task[None] | None = None
        self._since_checkpoint = 0
        self._checkpoint: asyncio.Future[None] | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="database-writer")
        # An in-memory database has a single connection, which belongs to one thread.
        self._readers = (
            ThreadPoolExecutor(READERS, thread_name_prefix="database-reader")
            if self.lasts
            else self._writer
        )

    @property
    def lasts(self) -> bool:
        """Whether data outlives this process."""
        return self.is_postgres or bool(self.url.database)

    @property
    def description(self) -> str:
        """For people: `sqlite:///data/app.db`, `memory`; without a password."""
        return describe(self.url)

    def lock(self) -> None:
        """Keep other serving processes off this database until `close`. Raises
        ConfigurationError."""
        if self.is_postgres:
            self._lock_postgres()
        elif self.url.database:
            self._lock_file(f"{self.url.database}.lock")

    def _lock_file(self, path: str) -> None:
        try:
            self._lock.enter_context(FileLock(path).acquire(timeout=0))
        except Timeout:
            raise DatabaseInUse(
                f"{self.url.database} is in use by another running service: stop that one, or give "
                "this one a DATABASE_URL of its own; several processes need PostgreSQL and "
                "REDIS_URL"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from error

    def _lock_postgres(self) -> None:
        """Held for as long as a connection lasts."""
        try:
            self._owner = self._owning()
        except UNAVAILABLE as error:
            raise ConfigurationError(f"{self.description}: {_words(error)}") from error
        self._lock.callback(self._unlock_postgres)

    def _owning(self) -> sa.Connection:
        """A connection that holds the lock. Raises DatabaseInUse."""
        connection = self._reading.connect()
        if connection.execute(sa.select(sa.func.pg_try_advisory_lock(OWNER))).scalar():
            return connection
        connection.close()
        raise DatabaseInUse(
            f"{self.description} is in use by another running service: several processes need "
            "REDIS_URL, too"
        )

    async def keep_lock(self) -> None:
        """Take the lock again if its connection was lost. Raises DatabaseInUse when another process
        was faster, StorageUnavailable."""
        if self._owner is not None:
            await asyncio.get_running_loop().run_in_executor(self._readers, self._keep_lock)

    def _keep_lock(self) -> None:
        assert self._owner is not None  # noqa: S101
        if not self._owner.closed:
            with suppress(sa.exc.DBAPIError):
                self._owner.execute(sa.text("SELECT 1"))
                return
            self._owner.close()  # or it would reconnect, without the lock
        try:
            self._owner = self._owning()
        except UNAVAILABLE as error:
            raise _ours(error, "read") from error

    def _unlock_postgres(self) -> None:
        """Explicitly: the server takes a moment to notice a closed connection, and the next service
        may not wait for that."""
        assert self._owner is not None  # noqa: S101
        if not self._owner.closed:
            with self._owner, suppress(sa.exc.DBAPIError):
                self._owner.execute(sa.select(sa.func.pg_advisory_unlock(OWNER)))

    async def read(self, unit: Unit[T]) -> T:
        """Run `unit`, which changes nothing. Raises StorageUnavailable."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, unit)

    async def write(self, unit: Unit[T]) -> T:
        """Run `unit` in a transaction and return when it is committed.

        Cancelling the caller does not undo it. Raises what `unit` raises, and StorageUnavailable.
        """
        pending = _Pending(unit, asyncio.get_running_loop().create_future())
        pending.done.add_done_callback(_seen)
        self._waiting.append(pending)
        if self._flush is None or self._flush.done():
            self._flush = asyncio.create_task(self._flush_waiting())
        return await asyncio.shield(pending.done)

    async def scalars(self, query: TypedReturnsRows[T]) -> list[T]:
        """The first column of each row. Raises as `read`."""
        return await self.read(lambda connection: list(connection.execute(query).scalars()))

    async def scalar(self, query: TypedReturnsRows[T], values: Values | None = None) -> T | None:
        """The first column of the first row; None where there is none. Raises as `read`."""
        return await self.read(lambda connection: connection.execute(query, values).scalar())

    async def mappings(self, query: sa.Executable) -> Sequence[sa.RowMapping]:
        """Raises as `read`."""
        return await self.read(lambda connection: connection.execute(query).mappings().all())

    async def first(self, query: sa.Executable) -> sa.RowMapping | None:
        """None: there is no row. Raises as `read`."""
        return await self.read(lambda connection: connection.execute(query).mappings().first())

    async def change(self, statement: sa.Executable, values: Values | None = None) -> int:
        """Returns how many rows it changed. Raises as `write`."""
        return await self.write(lambda connection: connection.execute(statement, values).rowcount)

    async def ping(self) -> None:
        """Raises StorageUnavailable."""
        await self.read(lambda connection: connection.execute(sa.text("SELECT 1")).scalar())

    async def close(self) -> None:
        """Commit pending writes, then disconnect."""
        if self._flush is not None:
            await self._flush
        if self._checkpoint is not None:
            await self._checkpoint
        for threads in {self._readers, self._writer}:
            await asyncio.to_thread(threads.shutdown)
        self._lock.close()
        self.engine.dispose()

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
        due = self._since_checkpoint >= CHECKPOINT_EVERY and not running
        if due and self.lasts and not self.is_postgres:
            self._since_checkpoint = 0
            loop = asyncio.get_running_loop()
            self._checkpoint = loop.run_in_executor(self._readers, self._copy_log)

    def _copy_log(self) -> None:
        """Does not block, and blocks no one; pages it can't copy are left for the next
        checkpoint."""
        with suppress(sa.exc.OperationalError), self.engine.connect() as connection:
            connection.execute(sa.text("PRAGMA wal_checkpoint(PASSIVE)"))

    def _outcomes(self, units: list[Unit[Any]]) -> list[tuple[Any, Exception | None]]:
        """What each unit returned or raised. Runs in a thread."""
        try:
            return [(answer, None) for answer in self._commit(units)]
        except UNAVAILABLE as error:
            # If it is locked or full for one unit, it is for all: don't make them wait one after
            # another.
            if not _is_deadlock(error) or len(units) == 1:
                return [(None, _ours(error, "written"))] * len(units)
        except Exception as error:
            if len(units) == 1:
                return [(None, _told(error))]
        # One unit failed and aborted the transaction of all: run each on its own.
        return [outcome for unit in units for outcome in self._outcomes([unit])]

    def _commit(self, units: list[Unit[Any]]) -> list[Any]:
        for _ in range(ATTEMPTS if len(units) == 1 else 1):
            try:
                with self.engine.begin() as connection:
                    return [unit(connection) for unit in units]
            except sa.exc.OperationalError as error:
                if not _is_deadlock(error):
                    raise
                last = error
        raise last

    def _read(self, unit: Unit[T]) -> T:
        try:
            with self._reading.connect() as connection:
                return unit(connection)
        except UNAVAILABLE as error:
            raise _ours(error, "read") from error
        except UNSUITABLE as error:
            raise _told(error) from None


def _is_deadlock(error: sa.exc.DBAPIError) -> bool:
    """Whether PostgreSQL aborted it in favour of another transaction: it may be retried."""
    return getattr(error.orig, "sqlstate", None) in DEADLOCKS


def _told(error: Exception) -> Exception:
    """A value that no column can hold came from a request: this is not an internal error."""
    if isinstance(error, UNSUITABLE):
        return InvalidRequest("It holds a text or a number that can't be stored.")
    return error


def _words(error: sa.exc.DBAPIError) -> str:
    """The message, in one line."""
    return " ".join(str(error.orig).split())


def _ours(error: sa.exc.DBAPIError, what: str) -> StorageUnavailable:
    log.error("the database fails", reason=_words(error))
    unavailable = StorageUnavailable(f"The database can't be {what}.")
    unavailable.__cause__ = error
    return unavailable


def _seen(done: asyncio.Future[Any]) -> None:
    """Retrieves the exception, so that the event loop does not report one nobody waits for."""
    if not done.cancelled():
        done.exception()
