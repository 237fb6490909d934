"""`retention`: deletes expired data now, instead of within the hour."""

import asyncio
from dataclasses import asdict

from app.cli.output import print_json
from app.cli.start import start
from app.parts import build_parts
from app.retention import Swept
from app.settings import Settings


def retention(*, dry_run: bool, as_json: bool) -> None:
    """Raises StorageUnavailable."""
    swept = asyncio.run(_sweep(start(log_level="warning"), dry_run))
    if as_json:
        print_json({"dry_run": dry_run, **asdict(swept)})
        return
    counts = (
        f"{swept.batches:,} batches, {swept.results:,} results, {swept.pictures:,} pictures, "
        f"{swept.keys:,} idempotency keys, {swept.deliveries:,} deliveries, "
        f"{swept.entries:,} entries of the ledger, {swept.alerts:,} alerts, "
        f"{swept.audit:,} entries of the audit log"
    )
    print(f"{'would delete' if dry_run else 'deleted'} {counts}")  # noqa: T201


async def _sweep(settings: Settings, dry_run: bool) -> Swept:
    async with build_parts(settings) as parts:
        return await parts.retention.sweep(dry_run=dry_run)
