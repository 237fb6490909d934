"""`audit`: who changed what."""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime

from app.cli.output import age, as_text, on_terminal, print_json, print_lines, print_table
from app.cli.start import start
from app.parts import build_parts
from app.settings import Settings
from app.storage.audit import AuditEntry, AuditFilter

HEADS = ("age", "actor", "action", "subject", "change")


def audit(wanted: AuditFilter, *, limit: int, as_json: bool) -> None:
    """Newest first. Raises StorageUnavailable."""
    found = asyncio.run(_entries(start(log_level="warning"), wanted, limit))
    if as_json:
        for each in found:
            print_json(asdict(each))
    elif on_terminal():
        now = datetime.now(UTC)
        print_table(HEADS, [_cells(each, now) for each in found])
    else:
        print_lines((each.at, each.actor, each.action, each.subject, each.change) for each in found)


async def _entries(settings: Settings, wanted: AuditFilter, limit: int) -> list[AuditEntry]:
    async with build_parts(settings) as parts:
        return await parts.audit.page(wanted, limit=limit)


def _cells(entry: AuditEntry, now: datetime) -> list[str]:
    return [
        age((now - entry.at).total_seconds()),
        *(entry.actor, entry.action, entry.subject, as_text(entry.change)),
    ]
