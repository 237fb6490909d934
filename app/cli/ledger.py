"""`ledger`: corrects recorded costs."""

import asyncio
from datetime import datetime

import typer

from app.analytics import Repriced
from app.cli.output import print_json
from app.cli.start import start
from app.parts import build_parts
from app.settings import Settings


def reprice(since: datetime, *, dry_run: bool, as_json: bool) -> None:
    """Raises StorageUnavailable, ConfigurationError."""
    done = asyncio.run(_reprice(start(log_level="warning"), since, dry_run))
    if as_json:
        print_json({"dry_run": dry_run, "entries": done.entries, "usd": float(done.usd)})
    else:
        would = "would change" if dry_run else "changed"
        typer.echo(f"{would} {done.entries:,} entries by {done.usd:+,.6f} USD")


async def _reprice(settings: Settings, since: datetime, dry_run: bool) -> Repriced:
    async with build_parts(settings) as parts:
        return await parts.repricing.reprice(since, dry_run=dry_run)
