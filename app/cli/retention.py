"""`retention`: delete what is too old now, instead of within the hour."""

import asyncio
from typing import Annotated

import typer

from app.cli.start import start
from app.parts import build_parts
from app.retention import Swept
from app.settings import Settings


def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count it.")] = False,
) -> None:
    """Delete what is kept no longer, by the settings `retention`. A service may run meanwhile."""
    swept = asyncio.run(_sweep(start(log_level="warning"), dry_run))
    counts = (
        f"{swept.batches:,} batches, {swept.results:,} results, {swept.pictures:,} pictures, "
        f"{swept.keys:,} idempotency keys"
    )
    typer.echo(f"{'would delete' if dry_run else 'deleted'} {counts}")


async def _sweep(settings: Settings, dry_run: bool) -> Swept:
    async with build_parts(settings) as parts:
        return await parts.retention.sweep(dry_run=dry_run)
