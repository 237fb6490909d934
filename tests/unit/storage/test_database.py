"""Writes that share commits, in memory and in a file alike."""

import asyncio
import itertools
import shutil

import psycopg
import pytest
import sqlalchemy as sa

from app.errors import ConfigurationError, DatabaseInUse, StorageUnavailable
from app.storage import Database
from app.storage.database import CHECKPOINT_EVERY

TABLE = sa.Table("t", sa.MetaData(), sa.Column("n", sa.Integer, primary_key=True))


@pytest.fixture(params=["memory", "file", "postgres"])
async def database(request, tmp_path):
    urls = {"memory": "sqlite://", "file": f"sqlite:///{tmp_path}/new/app.db"}
    database = Database(urls.get(request.param) or request.getfixturevalue("postgres_url"))
    await database.write(TABLE.metadata.create_all)
    yield database
    await database.close()


@pytest.fixture
def commits(database) -> list[int]:
    """One entry a commit."""
    seen: list[int] = []
    sa.event.listen(database.engine, "commit", lambda _: seen.append(1))
    return seen


def insert(number: int):
    def unit(connection) -> int:
        connection.execute(sa.insert(TABLE), {"n": number})
        return number

    return unit


async def stored(database: Database) -> list[int]:
    def unit(connection) -> list[int]:
        return list(connection.execute(sa.select(TABLE.c.n).order_by("n")).scalars())

    return await database.read(unit)


async def test_what_was_written_is_read(database):
    answer = await database.write(insert(7))

    assert answer == 7
    assert await stored(database) == [7]


async def test_writes_that_wait_share_a_commit(database, commits):
    """A hundred at once: far fewer commits than writes, and each gets its own answer."""
    answers = await asyncio.gather(*(database.write(insert(n)) for n in range(100)))

    assert answers == list(range(100))
    assert await stored(database) == list(range(100))
    assert 1 <= len(commits) <= 3


async def test_a_group_has_a_largest_size(database, commits):
    """256: more would keep the first waiting for the last."""
    await asyncio.gather(*(database.write(insert(n)) for n in range(600)))

    assert 3 <= len(commits) <= 5


async def test_writes_in_a_row_are_committed_each(database, commits):
    for number in range(3):
        await database.write(insert(number))

    assert len(commits) == 3


async def test_a_unit_that_fails_does_not_fail_its_neighbours(database):
    """It alone learns why."""

    def failing(connection) -> None:
        connection.execute(sa.insert(TABLE), {"n": 1000})
        raise LookupError("mine")

    answers = await asyncio.gather(
        database.write(insert(1)),
        database.write(failing),
        database.write(insert(2)),
        return_exceptions=True,
    )

    assert (answers[0], answers[2]) == (1, 2)
    assert isinstance(answers[1], LookupError)
    assert await stored(database) == [1, 2]


async def test_a_statement_that_fails_does_not_fail_its_neighbours(database):
    """Of two with one key the first one stands."""
    answers = await asyncio.gather(
        *(database.write(insert(n)) for n in (1, 5, 5, 2)), return_exceptions=True
    )

    assert [answers[0], answers[1], answers[3]] == [1, 5, 2]
    assert isinstance(answers[2], sa.exc.IntegrityError)
    assert await stored(database) == [1, 2, 5]


async def test_a_cancelled_caller_does_not_undo_its_write(database):
    """The outcome of a call that was paid for must not get lost with a connection."""
    writing = asyncio.create_task(database.write(insert(1)))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await database.write(insert(2))

    assert await stored(database) == [1, 2]


async def test_a_cancelled_failing_write_does_not_stop_the_others(database):
    first = asyncio.create_task(database.write(insert(1)))
    await first
    twin = asyncio.create_task(database.write(insert(1)))
    await asyncio.sleep(0)
    twin.cancel()
    await asyncio.gather(twin, return_exceptions=True)

    async with asyncio.timeout(30):
        assert await database.write(insert(2)) == 2


async def test_a_cancelled_reader_leaves_the_database_whole(database):
    """In memory there is but one connection: losing it would lose all."""
    await database.write(insert(1))
    slow = sa.text(
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 300000) "
        "SELECT sum(x) FROM c"
    )

    reading = asyncio.create_task(database.read(lambda connection: connection.execute(slow)))
    await asyncio.sleep(0.02)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await asyncio.sleep(0.3)  # SQLite's thread goes on with the statement

    assert await stored(database) == [1]


async def test_reads_and_writes_at_once_all_come_through(database):
    async def one(number: int) -> None:
        await database.write(insert(number))
        assert number in await stored(database)

    await asyncio.gather(*(one(n) for n in range(50)))

    assert len(await stored(database)) == 50


async def test_close_commits_what_waits(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/app.db")
    await database.write(TABLE.metadata.create_all)
    waiting = [asyncio.create_task(database.write(insert(n))) for n in range(5)]
    await asyncio.sleep(0)
    await database.close()
    again = Database(f"sqlite:///{tmp_path}/app.db")

    assert await stored(again) == list(range(5))
    assert [await each for each in waiting] == list(range(5))
    await again.close()


async def test_the_log_is_copied_while_writing_goes_on(tmp_path):
    """Soon the file alone holds many writes, and every write still answers."""
    database = Database(f"sqlite:///{tmp_path}/app.db")
    await database.write(TABLE.metadata.create_all)
    numbers = itertools.count()

    async def in_the_file() -> int:
        copied = Database(f"sqlite:///{shutil.copy(tmp_path / 'app.db', tmp_path / 'copy.db')}")
        try:
            return len(await stored(copied))
        except StorageUnavailable:  # not even the table
            return 0
        finally:
            await copied.close()

    async with asyncio.timeout(30):
        while await in_the_file() < CHECKPOINT_EVERY:
            await asyncio.gather(*(database.write(insert(next(numbers))) for _ in range(50)))
    assert await stored(database) == list(range(next(numbers)))
    await database.close()


async def test_a_database_that_is_gone_is_unavailable(tmp_path):
    """Reading, writing and health all say so, and nothing else."""
    (tmp_path / "app.db").mkdir()
    database = Database(f"sqlite:///{tmp_path}/app.db")

    for work in (database.ping(), database.write(insert(1)), stored(database)):
        with pytest.raises(StorageUnavailable):
            await work
    await database.close()


async def test_a_file_has_one_serving_process(tmp_path):
    """Until it closes; memory is nobody else's anyway."""
    first, second = (Database(f"sqlite:///{tmp_path}/app.db") for _ in range(2))
    first.lock()
    with pytest.raises(ConfigurationError, match="in use"):
        second.lock()
    await first.close()
    second.lock()
    await second.close()
    for _ in range(2):
        memory = Database("sqlite://")
        memory.lock()
        await memory.close()


async def test_the_next_one_serves_as_soon_as_the_last_has_closed(postgres_url):
    for _ in range(50):
        database = Database(postgres_url)
        database.lock()
        await database.close()


async def test_postgres_waits_for_nobody_who_is_frozen(postgres_url):
    """Whoever stops in the middle of a transaction, and whoever waits for a lock, is cut off."""
    database = Database(postgres_url)

    def told(connection) -> list[str]:
        names = ("idle_in_transaction_session_timeout", "lock_timeout")
        return [connection.execute(sa.text(f"SHOW {name}")).scalar() for name in names]

    assert await database.read(told) == ["10s", "30s"]
    await database.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite://"])
async def test_memory_has_three_names(url):
    database = Database(url)

    assert database.description == "memory"
    await database.close()


@pytest.mark.parametrize("url", ["nonsense", "", "mysql://db/x", "file.db"])
def test_another_url_is_refused(url):
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        Database(url)


def cut_off(url: str) -> None:
    """All connections, as a server that is restarted does."""
    others = "pid <> pg_backend_pid() AND datname = current_database()"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {others}"
        )


class TestOwnPostgres:
    """One process has it for itself, by a lock that a connection holds."""

    @pytest.fixture
    async def databases(self, postgres_url):
        found = [Database(postgres_url) for _ in "ab"]
        yield found
        for each in found:
            await each.close()

    async def test_a_lost_lock_is_taken_again(self, databases, postgres_url):
        first, second = databases
        first.lock()
        cut_off(postgres_url)
        await first.keep_lock()

        with pytest.raises(DatabaseInUse):
            second.lock()

    async def test_whoever_was_quicker_has_it(self, databases, postgres_url):
        first, second = databases
        first.lock()
        await first.keep_lock()
        cut_off(postgres_url)
        second.lock()

        with pytest.raises(DatabaseInUse):
            await first.keep_lock()
        await second.keep_lock()
