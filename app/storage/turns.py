"""Which process performs a task that one process does for all. All SQL for that is here."""

from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports it, too

from app.storage.database import Database, Unit
from app.storage.tables import turns


class Turns:
    """Turns at a periodic task: the process that had the last turn has the next, too, unless there
    was none for twice the interval."""

    def __init__(
        self,
        database: Database,
        name: str,
        process: str,
        *,
        every_s: float,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._name = name
        self._process = process
        self._free_after = timedelta(seconds=2 * every_s)
        self._clock = clock

    async def is_mine(self) -> bool:
        """Takes the turn if possible. Raises StorageUnavailable."""
        taking = taking_turn(self._name, self._process, self._clock(), self._free_after)
        return await self._database.write(taking)


def taking_turn(name: str, process: str, now: datetime, free_after: timedelta) -> Unit[bool]:
    """Whether this process gets the turn: it had the last one, or there was none for
    `free_after`."""
    values = {
        "name": name,
        "process": process,
        "at": now,
        "mine": process,
        "old": now - free_after,
        "ahead": now + free_after,
    }
    return lambda connection: connection.execute(_TAKE_TURN, values).first() is not None


_NEW_TURN = insert(turns).values({name: sa.bindparam(name) for name in ("name", "process", "at")})
_TAKE_TURN = _NEW_TURN.on_conflict_do_update(
    index_elements=[turns.c.name],
    set_={"process": _NEW_TURN.excluded.process, "at": _NEW_TURN.excluded["at"]},
    # A time far in the future comes from a wrong clock.
    where=(turns.c.process == sa.bindparam("mine"))
    | (turns.c["at"] <= sa.bindparam("old", type_=turns.c["at"].type))
    | (turns.c["at"] > sa.bindparam("ahead", type_=turns.c["at"].type)),
).returning(turns.c.process)
