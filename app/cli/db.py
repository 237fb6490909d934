"""`db`: the database's schema."""

import asyncio

from app.cli.output import print_json
from app.cli.start import start
from app.storage import Database, migrate


def upgrade(*, as_json: bool) -> None:
    """Raises StorageUnavailable, ConfigurationError."""
    settings = start(log_level="warning")
    before, after, place = asyncio.run(_upgrade(settings.database_url))
    if as_json:
        print_json({"database": place, "before": before, "after": after})
    else:
        change = f"{before or 'empty'} -> {after}" if before != after else after
        print(f"{place}: {change}")  # noqa: T201


async def _upgrade(url: str) -> tuple[str | None, str, str]:
    database = Database(url)
    try:
        before, after = await migrate(database)
    finally:
        await database.close()
    return before, after, database.description
