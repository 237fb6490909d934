"""`db`: the database's schema."""

import asyncio

import typer

from app.cli.start import start
from app.storage import Database, migrate

app = typer.Typer(no_args_is_help=True, help="Look after the database.")


@app.callback()
def group() -> None:
    """Look after the database."""


@app.command()
def upgrade() -> None:
    """Bring the schema to what this version needs, as every start does; before several processes
    of a new version are started, or with rights that these do not have."""
    settings = start(log_level="warning")
    before, after, place = asyncio.run(_upgrade(settings.database_url))
    print(f"{place}: {before or 'empty'} -> {after}" if before != after else f"{place}: {after}")  # noqa: T201


async def _upgrade(url: str) -> tuple[str | None, str, str]:
    database = Database(url)
    try:
        before, after = await migrate(database)
    finally:
        await database.close()
    return before, after, database.description
