"""Bring the database to the schema this version needs."""

from pathlib import Path

import sqlalchemy as sa

from app.errors import ConfigurationError, StorageUnavailable
from app.storage.database import Database
from app.storage.tables import metadata

HEAD = "0017"
"""The newest revision in migrations/versions; a test compares it with Alembic's."""

MIGRATING = 0x636C616D
"""Key of the PostgreSQL advisory lock for migrating: `clam`."""

MIGRATIONS = Path(__file__).parent / "migrations"


async def migrate(database: Database) -> tuple[str | None, str]:
    """Upgrade to HEAD; returns the previous revision, None for an empty database, and HEAD. Costs
    two queries when there is nothing to do.

    Raises ConfigurationError when it is not a database, is unreachable or can't be written.
    """
    try:
        before = await database.read(_revision)
        if before != HEAD:
            await database.write(_upgrade)
    except (sa.exc.DatabaseError, StorageUnavailable) as error:
        cause = error.__cause__ if isinstance(error, StorageUnavailable) else error
        reason = cause.orig if isinstance(cause, sa.exc.DatabaseError) else error
        raise ConfigurationError(f"{database.description}: {reason}") from error
    return before, HEAD


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: sa.Connection) -> None:
    # Another process may be migrating, or have done so already. And without an explicit
    # transaction, SQLite would commit every statement, and a crash leave half a schema.
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")  # a migration takes its time
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATING)))
    revision = _revision(connection)
    if revision is None:
        _create(connection)
    elif revision != HEAD:
        _migrate(connection)


def _create(connection: sa.Connection) -> None:
    """The result of all migrations (a test compares them), without running them: there is no data
    to change."""
    metadata.create_all(connection, checkfirst=False)
    version = sa.Table(
        "alembic_version",
        sa.MetaData(),
        sa.Column("version_num", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
    )
    version.create(connection, checkfirst=True)
    connection.execute(sa.insert(version).values(version_num=HEAD))


def _migrate(connection: sa.Connection) -> None:
    # Imported here: it takes a fifth of a second, and most starts have nothing to migrate.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
