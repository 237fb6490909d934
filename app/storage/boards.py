"""State that processes share through the database, in case Redis is down. All SQL for it is
here."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from app.storage.database import Database
from app.storage.putting import putting
from app.storage.tables import boards

FORGOTTEN_AFTER = timedelta(hours=1)
"""For the state of a process that died."""


class BoardRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def tell(self, process: str, text: str, now: datetime) -> None:
        """Replaces what it published before. Raises StorageUnavailable."""
        row = {"process": process, "told": text, "at": now}
        forget = sa.delete(boards).where(boards.c["at"] < now - FORGOTTEN_AFTER)

        def unit(connection: sa.Connection) -> None:
            connection.execute(_TELL, row)
            connection.execute(forget)

        await self._database.write(unit)

    async def told_by_others(self, process: str, since: datetime) -> dict[str, str]:
        """Texts published at `since` or later, by process. Raises StorageUnavailable."""
        told = sa.select(boards.c.process, boards.c.told)
        query = told.where(boards.c.process != process, boards.c["at"] >= since)
        return {row["process"]: row["told"] for row in await self._database.mappings(query)}


_TELL = putting(boards)
