"""Values chosen once per installation and used by all its processes. All SQL for them is here."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports it, too

from app.storage.database import Database
from app.storage.tables import installation


async def replace_chosen(database: Database, name: str, before: str, after: str) -> bool:
    """False: the value is no longer `before`."""
    change = (
        sa.update(installation)
        .where(installation.c.name == name, installation.c.value == before)
        .values(value=after)
    )
    return await database.change(change) > 0


async def chosen(database: Database, name: str, proposed: str) -> str:
    """The value under `name`: the existing one, or else `proposed`, which is stored."""
    query = sa.select(installation.c.value).where(installation.c.name == name)
    found = await database.scalar(query)
    if found is not None:
        return str(found)

    def unit(connection: sa.Connection) -> str:
        row = {"name": name, "value": proposed}
        connection.execute(insert(installation).on_conflict_do_nothing(), row)
        return str(connection.execute(query).scalar_one())

    return await database.write(unit)
