"""Versioned rows: a version is never changed, only withdrawn, and the newest one not withdrawn is
in force."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.storage.audit import Action, By, note
from app.storage.database import Database

Mark = tuple[str | None, int, int]
"""Differs after any change to the table."""


class Versions:
    """For a table with `id`, `domain` and `withdrawn_at`; each key has versions of its own."""

    def __init__(
        self,
        database: Database,
        table: sa.Table,
        key: Sequence[sa.Column[Any]],
        *,
        withdrawn: Action,
    ) -> None:
        """`withdrawn`: how the audit log names a withdrawal."""
        self._database = database
        self._table = table
        self._key = key
        self._withdrawn = withdrawn

    async def mark(self) -> Mark:
        column = self._table.c
        query = sa.select(
            sa.func.max(column.id), sa.func.count(), sa.func.count(column.withdrawn_at)
        )

        def unit(connection: sa.Connection) -> Mark:
            newest, count, withdrawn = connection.execute(query).one()
            return newest, count, withdrawn

        return await self._database.read(unit)

    def in_force(self) -> sa.Select[Any]:
        """At most one of each key."""
        column = self._table.c
        newest = sa.select(sa.func.max(column.id)).where(column.withdrawn_at.is_(None))
        return sa.select(self._table).where(column.id.in_(newest.group_by(*self._key)))

    async def withdraw(self, domain: str, version_id: str, now: datetime, by: By) -> bool:
        """Returns whether the domain had a version of this id that was not withdrawn."""
        column = self._table.c
        change = (
            sa.update(self._table)
            .where(
                column.id == version_id,
                column.domain == domain,
                column.withdrawn_at.is_(None),
            )
            .values(withdrawn_at=now)
        )

        def unit(connection: sa.Connection) -> bool:
            withdrawn = bool(connection.execute(change).rowcount)
            if withdrawn:
                note(connection, by, self._withdrawn, domain, after={"id": version_id})
            return withdrawn

        return await self._database.write(unit)
