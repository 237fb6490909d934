"""Pictures that were accepted and are not answered: what it takes to ask again. All SQL about them
is here."""

from dataclasses import dataclass

import sqlalchemy as sa

from app.storage.database import Database, Unit
from app.storage.tables import accepted


@dataclass(frozen=True, slots=True)
class Accepted:
    """What its pending result does not tell.

    Attributes:
        url: None: the picture waits in the blob store, under the result's id.
        fresh: no answer that was given before will do.
    """

    result_id: str
    url: str | None
    provider: str | None
    fresh: bool


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
        }

        def unit(connection: sa.Connection) -> None:
            connection.execute(sa.insert(accepted), row)

        return unit

    def forgetting(self, result_id: str, beside: Unit[None] | None = None) -> Unit[None]:
        """To be written together with the outcome, `beside` too."""

        def unit(connection: sa.Connection) -> None:
            if beside is not None:
                beside(connection)
            connection.execute(sa.delete(accepted).where(accepted.c.result_id == result_id))

        return unit

    async def forget(self, result_id: str) -> None:
        await self._database.write(self.forgetting(result_id))

    async def all(self) -> list[Accepted]:
        """The oldest first."""
        query = sa.select(accepted).order_by(accepted.c.result_id)

        def unit(connection: sa.Connection) -> list[Accepted]:
            return [Accepted(**row) for row in connection.execute(query).mappings()]

        return await self._database.read(unit)
