"""Bring the database to the schema this version needs."""

from pathlib import Path

import sqlalchemy as sa

from app.errors import ConfigurationError, StorageUnavailable
from app.storage.database import Database

HEAD = "0004"
"""The newest revision in migrations/versions; a test holds it against Alembic's own idea."""

MIGRATIONS = Path(__file__).parent / "migrations"


async def migrate(database: Database) -> None:
    """Upgrade to HEAD. Costs two queries when there is nothing to do.

    Raises ConfigurationError when the file is no database or can't be written.
    """
    try:
        if await database.read(_revision) != HEAD:
            await database.write(_upgrade)
    except (sa.exc.DatabaseError, StorageUnavailable) as error:
        cause = error.__cause__ if isinstance(error, StorageUnavailable) else error
        reason = cause.orig if isinstance(cause, sa.exc.DatabaseError) else error
        raise ConfigurationError(f"{database.description}: {reason}") from error


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: sa.Connection) -> None:
    # Imported here: it takes a fifth of a second, and most starts have nothing to migrate.
    from alembic import command
    from alembic.config import Config

    # Without it SQLite would commit every statement, and a crash leave half a schema; and another
    # process may have been first.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    if _revision(connection) == HEAD:
        return
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
