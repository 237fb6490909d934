"""What processes tell each other, through a real Redis, and a real database while that is gone."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from app.parts.ground import now
from app.storage import BoardRepository, Database
from app.storage.boards import FORGOTTEN_AFTER
from app.traffic import Board, ProviderState, RedisLink
from tests.alerting import World
from tests.integration.calls import until

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def database(postgres_url):
    database = Database(postgres_url)
    yield database
    await database.close()


class Process(NamedTuple):
    board: Board
    link: RedisLink
    checks: dict[str, bool]

    async def sees(self) -> list[tuple[str, dict[str, bool]]]:
        return [(each.process, each.checks) for each in await self.board.read()]


@pytest.fixture
async def processes(redis, database, monkeypatch):
    """Two, `one` and `two`, with a check that fails in the second. They tell more often than they
    do in earnest."""
    monkeypatch.setattr("app.traffic.board.PUBLISHED_EVERY_S", 0.1)
    monkeypatch.setattr("app.traffic.board.KEPT_EVERY_S", 0.5)
    async with AsyncExitStack() as stack:
        processes = []
        for name in ("one", "two"):
            link = RedisLink(redis.url)
            await link.open()
            stack.push_async_callback(link.aclose)
            state = ProviderState(name, "local", {"interactive": 0, "batch": 0}, [])
            checks = {"storage": name == "one"}
            board = Board(
                lambda state=state: [state],
                link,
                lambda checks=checks: checks,
                BoardRepository(database),
                clock=now,
            )
            board.start()
            stack.push_async_callback(board.aclose)
            processes.append(Process(board, link, checks))
        yield processes


ONE = ("one", {"storage": True})


async def see(processes, *, storage: bool) -> None:
    """Return when both see what the first tells, and this of the second."""
    one, two = processes
    theirs = ("two", {"storage": storage})

    async def both() -> bool:
        return await one.sees() == [ONE, theirs] and await two.sees() == [theirs, ONE]

    await until(both)


async def test_each_sees_the_other_also_while_redis_is_gone(processes, redis, database):
    """And so do alerts."""
    one, two = processes
    await see(processes, storage=False)
    redis.kill()
    two.checks["storage"] = True
    await see(processes, storage=True)
    two.checks["storage"] = False
    await see(processes, storage=False)

    world = World(database)
    world.only("unhealthy", lasting=timedelta(0))
    world.board = one.board
    await world.engine().look()
    assert await world.alerts() == [("unhealthy", "storage", "firing")]


@pytest.mark.parametrize("cut_off", [0, 1], ids=["one", "two"])
async def test_each_sees_the_other_also_when_one_alone_loses_redis(processes, cut_off):
    """And what was told last is what is seen, wherever that is."""
    _, two = processes
    await see(processes, storage=False)
    processes[cut_off].link.connected = False
    two.checks["storage"] = True
    await see(processes, storage=True)
    processes[cut_off].link.connected = True
    two.checks["storage"] = False
    await see(processes, storage=False)


async def test_a_database_that_hangs_holds_up_nobody(processes, monkeypatch):
    """Redis goes on to tell of all."""
    one, two = processes

    async def hangs(*_):
        await asyncio.sleep(60)

    monkeypatch.setattr("app.traffic.board.WITHIN_S", 0.2)
    monkeypatch.setattr(BoardRepository, "tell", hangs)
    monkeypatch.setattr(BoardRepository, "told_by_others", hangs)
    two.checks["storage"] = True

    async def told() -> bool:
        return await one.sees() == [ONE, ("two", {"storage": True})]

    await until(told)


async def test_what_is_old_is_not_read_and_goes(database):
    rows = BoardRepository(database)
    await rows.tell("prc_dead", "of long ago", NOW - FORGOTTEN_AFTER - timedelta(seconds=1))
    await rows.tell("prc_one", "first", NOW)
    await rows.tell("prc_one", "second", NOW)
    await rows.tell("prc_two", "other", NOW)

    assert await rows.told_by_others("prc_two", NOW) == {"prc_one": "second"}
    assert await rows.told_by_others("prc_two", NOW - timedelta(days=1)) == {"prc_one": "second"}
    assert await rows.told_by_others("prc_two", NOW + timedelta(seconds=1)) == {}
