"""Accepted pictures without an answer yet: what is needed to classify them. All SQL for them is
here."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.identifiers import RESULT, lowest_id
from app.storage.database import Database, Unit
from app.storage.tables import accepted


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the pending result itself does not hold.

    Attributes:
        url: None: the picture is in the blob store, under the result's id.
        fresh: no earlier answer may be reused.
        callback_url: where the outcome is sent.
    """

    result_id: str
    url: str | None
    provider: str | None
    fresh: bool
    callback_url: str | None = None


class AcceptedRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def keeping(self, picture: Accepted) -> Unit[None]:
        """To be written together with the pending result."""
        row = {
            "result_id": picture.result_id,
            "url": picture.url,
            "provider": picture.provider,
            "fresh": picture.fresh,
            "callback_url": picture.callback_url,
        }

        def unit(connection: sa.Connection) -> None:
            connection.execute(sa.insert(accepted), row)

        return unit

    def forgetting(self, result_id: str) -> Unit[None]:
        """To be written together with the outcome."""

        def unit(connection: sa.Connection) -> None:
            connection.execute(sa.delete(accepted).where(accepted.c.result_id == result_id))

        return unit

    async def forget(self, result_id: str) -> None:
        await self._database.write(self.forgetting(result_id))

    async def find(self, result_id: str) -> Accepted | None:
        """None: it has been answered."""
        query = sa.select(accepted).where(accepted.c.result_id == result_id)
        row = await self._database.first(query)
        return None if row is None else Accepted(**row)

    async def all(self, *, until: datetime | None = None) -> list[str]:
        """Result ids, oldest first; only of pictures accepted before `until`."""
        query = sa.select(accepted.c.result_id).order_by(accepted.c.result_id)
        if until is not None:
            query = query.where(accepted.c.result_id < lowest_id(RESULT, until))
        return await self._database.scalars(query)

    async def count(self) -> int:
        query = sa.select(sa.func.count()).select_from(accepted)
        return await self._database.scalar(query) or 0
