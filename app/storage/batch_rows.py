"""Rows of a batch, of its items, and of input that was not a valid item."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import sqlalchemy as sa

from app.result import Result
from app.storage.tables import batches

BatchStatus = Literal[
    "receiving", "queued", "running", "paused", "completed", "failed", "cancelled", "deleted"
]
ItemState = Literal["waiting", "done"]

UNFINISHED: tuple[BatchStatus, ...] = ("queued", "running")
OVERDUE = "The deadline is over."

OVER: tuple[BatchStatus, ...] = ("completed", "failed", "cancelled")
DELETED: BatchStatus = "deleted"
"""Its rows are being deleted."""
HIDDEN: tuple[BatchStatus, ...] = ("receiving", DELETED)

DIGEST = "sha256:"
"""Prefix of an item's source when it is an upload, before the digest."""


COMMITTED_FOR_S = 1.0


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch and its progress.

    Attributes:
        total: items, including duplicates, without bad rows.
        next_shard: the first that was not given out yet.
        paced_from, paced_done: since when it has been worked on without a pause, and how many items
            were done then.
        expected, correct: done items whose true class is known, and those of them answered
            correctly.
    """

    id: str
    caller: str
    name: str | None
    domain: str
    provider: str | None
    lane: Literal["interactive", "batch"]
    batch_size: int
    shard_size: int
    on_error: Literal["continue", "stop"]
    deadline: datetime | None
    status: BatchStatus
    created_at: datetime
    reason: str | None = None
    total: int = 0
    duplicates: int = 0
    bad_rows: int = 0
    next_shard: int = 0
    accepted: int = 0
    needs_review: int = 0
    failed: int = 0
    expected: int = 0
    correct: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    started_at: datetime | None = None
    completed_at: datetime | None = None
    paced_from: datetime | None = None
    paced_done: int = 0
    callback_url: str | None = None
    progress_told_at: datetime | None = None
    budget_usd: Decimal | None = None
    resumes_at: datetime | None = None

    @property
    def done(self) -> int:
        return self.accepted + self.needs_review + self.failed

    @property
    def is_over(self) -> bool:
        return self.status in OVER

    @property
    def is_held_up(self) -> bool:
        """It was paused, but not by request."""
        return self.status == "paused" and self.reason is not None


@dataclass(frozen=True, slots=True)
class BatchItem:
    """
    Attributes:
        number: its place in the batch, from 0.
        source: a URL, a storage URI, or `sha256:` and the digest of an upload.
        same_as: the number of an earlier item with the same picture, whose answer it shares.
    """

    number: int
    item_id: str
    source: str
    expected: str | None = None
    metadata: dict[str, Any] | None = None
    same_as: int | None = None
    state: ItemState = "waiting"
    attempts: int = 0
    result_id: str | None = None


@dataclass(frozen=True, slots=True)
class BadRow:
    """Input that was not a valid item: `place` is a line or a file's name."""

    number: int
    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """An item's result, to be stored.

    Attributes:
        again: the item will be tried again: only the cost of this result is counted.
        worth_usd: what the answer cost, whoever paid; None: nothing was billed.
        twins: results of other items with the same picture, by item number, once stored.
    """

    item: BatchItem
    result: Result
    again: bool = False
    worth_usd: Decimal | None = None
    twins: dict[int, Result] = field(default_factory=dict)


class Committed:
    """Batches at work as of the last commit, cached for a second, so that a progress request need
    not wait for a busy database. Only usable if no other process commits."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rows: dict[str, tuple[float, BatchRow]] = {}

    def get(self, batch_id: str) -> BatchRow | None:
        until, row = self._rows.get(batch_id, (0.0, None))
        return row if until > self._clock() else None

    def put(self, row: BatchRow) -> None:
        """To be called in the order of the commits."""
        if row.status in UNFINISHED:
            self._rows[row.id] = self._clock() + COMMITTED_FOR_S, row
        else:
            self.drop(row.id)

    def drop(self, batch_id: str) -> None:
        """To be called when the batch was changed in another way."""
        self._rows.pop(batch_id, None)

    def clear(self) -> None:
        self._rows.clear()


def item_of(row: sa.RowMapping) -> BatchItem:
    """From a row of its table."""
    return BatchItem(**{name: value for name, value in row.items() if name != "batch_id"})


def complete(connection: sa.Connection, batch_id: str, now: datetime) -> BatchRow | None:
    """End a batch that has a result for every item; returns it if it has."""
    column = batches.c
    change = (
        sa.update(batches)
        .where(
            column.id == batch_id,
            column.status.in_(UNFINISHED),
            column.accepted + column.needs_review + column.failed >= column.total,
        )
        .values(status="completed", completed_at=now)
        .returning(batches)
    )
    row = connection.execute(change).mappings().first()
    return None if row is None else BatchRow(**row)
