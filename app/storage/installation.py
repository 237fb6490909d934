"""Values kept once per installation and used by all its processes. All SQL for them is here."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports it, too

from app.storage.database import Database
from app.storage.tables import installation


async def known(database: Database, name: str) -> str | None:
    """The value under `name`, if there is one."""
    found = await database.scalar(_value(name))
    return None if found is None else str(found)


async def chosen(database: Database, name: str, proposed: str) -> str:
    """The value under `name`: the existing one, or else `proposed`, which is stored."""
    if (found := await known(database, name)) is not None:
        return found

    def unit(connection: sa.Connection) -> str:
        connection.execute(_ADD, {"name": name, "value": proposed})
        return str(connection.execute(_value(name)).scalar_one())

    return await database.write(unit)


def change_chosen(connection: sa.Connection, name: str, change: Callable[[str], str]) -> str:
    """Change the value under `name`, if there is one; returns the previous one, or else nothing."""
    this = sa.update(installation).where(installation.c.name == name)
    # The first statement writes, so no other process changes the value in between.
    touch = this.values(value=installation.c.value).returning(installation.c.value)
    before: str | None = connection.execute(touch).scalar()
    if before is not None:
        connection.execute(this.values(value=change(before)))
    return before or ""


def exchange(connection: sa.Connection, name: str, value: str) -> str:
    """Store `value` under `name`; returns the previous one, or else nothing."""
    connection.execute(_ADD, {"name": name, "value": ""})
    return change_chosen(connection, name, lambda _: value)


def _value(name: str) -> sa.Select[Any]:
    return sa.select(installation.c.value).where(installation.c.name == name)


_ADD = insert(installation).on_conflict_do_nothing()
