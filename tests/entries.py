"""Ledger entries for tests."""

from datetime import UTC, datetime
from decimal import Decimal

from app.ledger import LedgerEntry, new_call_id
from app.storage import Database, LedgerRepository, Outbox

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
PROCESS = "prc_gone"


def entry(at: datetime = NOON, cost: str | None = "1", **values) -> LedgerEntry:
    """An answered call; `cost` None: its price is not known."""
    made = {
        "process": PROCESS,
        "provider": "azure_openai",
        "model": "gpt-4o",
        "deployment": "eyes",
        "tariff": "global_standard",
        "caller": "shop",
        "domain": "flowers",
        "outcome": "answered",
        "prompt_tokens": 200,
        "image_tokens": 85,
        "completion_tokens": 5,
        "answers": 1,
        "cost_usd": None if cost is None else Decimal(cost),
    }
    return LedgerEntry(new_call_id(at), at, **{**made, **values})


def saved(kind: str, at: datetime = NOON, worth: str = "1", **values) -> LedgerEntry:
    """An answer without a call."""
    none = {"prompt_tokens": 0, "image_tokens": 0, "completion_tokens": 0}
    return entry(at, "0", kind=kind, saved_usd=Decimal(worth), **none, **values)


def ledger(database: Database) -> LedgerRepository:
    return LedgerRepository(database, Outbox(database, None))


async def book(database: Database, *entries: LedgerEntry, rolled: bool = True) -> None:
    """Book entries, and add them and all others that are not summed yet to the sums."""
    rows = ledger(database)
    await rows.book(entries)
    if rolled:
        await rows.roll(PROCESS, (), {}, {}, {}, datetime.now(UTC))
