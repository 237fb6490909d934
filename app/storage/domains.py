"""Domains that were made through the API. All SQL about them is here."""

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # what SQLite speaks, too

from app.storage.database import Database
from app.storage.tables import domains, examples, lessons


class DomainRepository:
    """Definitions as JSON text, by name; what they mean is not known here."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> dict[str, str]:
        query = sa.select(domains.c.name, domains.c.definition)

        def unit(connection: sa.Connection) -> dict[str, str]:
            return {row.name: row.definition for row in connection.execute(query)}

        return await self._database.read(unit)

    async def add(self, name: str, definition: str) -> bool:
        """Whether there was none of this name. What was taught while an earlier one was deleted is
        not the new one's."""
        row = {"name": name, "definition": definition, "updated_at": datetime.now(UTC)}

        def unit(connection: sa.Connection) -> bool:
            new = _NEW.on_conflict_do_nothing().returning(domains.c.name)
            is_new = connection.execute(new, row).first() is not None
            if is_new:
                _forget_taught(connection, name)
            return is_new

        return await self._database.write(unit)

    async def put(self, name: str, definition: str) -> None:
        row = {"name": name, "definition": definition, "updated_at": datetime.now(UTC)}

        def unit(connection: sa.Connection) -> None:
            connection.execute(_PUT, row)

        await self._database.write(unit)

    async def delete(self, name: str) -> None:
        """With what it was taught: another one of this name begins anew."""

        def unit(connection: sa.Connection) -> None:
            connection.execute(sa.delete(domains).where(domains.c.name == name))
            _forget_taught(connection, name)

        await self._database.write(unit)


def _forget_taught(connection: sa.Connection, name: str) -> None:
    for table in (examples, lessons):
        connection.execute(sa.delete(table).where(table.c.domain == name))


_NEW = insert(domains)
_PUT = _NEW.on_conflict_do_update(
    index_elements=[domains.c.name],
    set_={"definition": _NEW.excluded.definition, "updated_at": _NEW.excluded.updated_at},
)
