"""Domains created through the API. All SQL for them is here."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json
from sqlalchemy.dialects.postgresql import insert  # SQLite supports it, too

from app.storage.audit import By, note
from app.storage.database import Database
from app.storage.putting import putting
from app.storage.tables import domains, examples, lessons


class DomainRepository:
    """Definitions by name, as JSON text that is opaque to this module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> dict[str, str]:
        query = sa.select(domains.c.name, domains.c.definition)
        return {row["name"]: row["definition"] for row in await self._database.mappings(query)}

    async def add(self, name: str, definition: str, *, by: By) -> bool:
        """Returns whether the name was free. Discards what was taught while an earlier domain of
        this name was being deleted."""
        row = {"name": name, "definition": definition, "updated_at": datetime.now(UTC)}

        def unit(connection: sa.Connection) -> bool:
            is_new = connection.execute(_ADD, row).first() is not None
            if is_new:
                _forget_taught(connection, name)
                note(connection, by, "domain.created", name, after=from_json(definition))
            return is_new

        return await self._database.write(unit)

    async def put(self, name: str, definition: str, *, by: By) -> None:
        row = {"name": name, "definition": definition, "updated_at": datetime.now(UTC)}

        def unit(connection: sa.Connection) -> None:
            before = connection.execute(_touched(name)).scalar()
            connection.execute(_PUT, row)
            note(
                connection,
                by,
                "domain.updated",
                name,
                before=_told(before),
                after=from_json(definition),
            )

        await self._database.write(unit)

    async def delete(self, name: str, *, by: By) -> None:
        """Deletes what it was taught, too: a new domain of this name starts from nothing."""

        def unit(connection: sa.Connection) -> None:
            gone = sa.delete(domains).where(domains.c.name == name)
            before = connection.execute(gone.returning(domains.c.definition)).scalar()
            _forget_taught(connection, name)
            if before is not None:
                note(connection, by, "domain.deleted", name, before=_told(before))

        await self._database.write(unit)


def _touched(name: str) -> Any:
    """Reads the definition by a write that changes nothing: the first statement must write, see
    Unit."""
    same = sa.update(domains).where(domains.c.name == name).values(updated_at=domains.c.updated_at)
    return same.returning(domains.c.definition)


def _told(definition: str | None) -> dict[str, Any] | None:
    return None if definition is None else dict(from_json(definition))


def _forget_taught(connection: sa.Connection, name: str) -> None:
    for table in (examples, lessons):
        connection.execute(sa.delete(table).where(table.c.domain == name))


_ADD = insert(domains).on_conflict_do_nothing().returning(domains.c.name)
_PUT = putting(domains)
