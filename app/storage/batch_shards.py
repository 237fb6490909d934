"""Shards of batches: given out, processed by one worker at a time, committed with their results.
All SQL for that is here."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from app.identifiers import RESULT, new_id
from app.ledger import LedgerEntry
from app.result import Result, Usage
from app.storage.batch_rows import (
    DELETED,
    OVER,
    UNFINISHED,
    BatchItem,
    BatchRow,
    BatchStatus,
    Committed,
    ItemOutcome,
    complete,
    item_of,
)
from app.storage.database import Database, Unit
from app.storage.events import batch_changed, batch_progress, result_created
from app.storage.ledger import book
from app.storage.outbox import Outbox, Telling
from app.storage.results import link_similar, row_of
from app.storage.review_queue import queue_twins
from app.storage.tables import UtcTime, batch_items, batch_shards, batches, results
from app.storage.tallies import count_results

TwinEntry = Callable[[str, Result, Decimal], LedgerEntry]
"""From the batch id, a duplicate's result, and what its answer cost, to the ledger entry of the
saving."""


class ShardRepository:
    """Stores the progress of shards, whichever process works on them."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        committed: Committed | None = None,
        twin_entry: TwinEntry | None = None,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._committed = committed
        self._twin_entry = twin_entry
        self._clock = clock

    async def given_out(self, batch_id: str) -> list[int]:
        """Shards that were started and are not done."""
        query = (
            sa.select(batch_shards.c.number)
            .join(batches, batches.c.id == batch_shards.c.batch_id)
            .where(
                batch_shards.c.batch_id == batch_id,
                batch_shards.c.left > 0,
                batch_shards.c.number < batches.c.next_shard,
            )
            .order_by(batch_shards.c.number)
        )
        return await self._database.scalars(query)

    async def give_out(self, batch_id: str) -> int | None:
        """The next shard that has work; None: there are no more."""
        column, now = batches.c, self._clock()
        began = sa.literal(now, UtcTime)
        done = column.accepted + column.needs_review + column.failed
        runs = (
            sa.update(batches)
            .where(column.id == batch_id, column.status.in_(UNFINISHED))
            .values(
                status="running",
                started_at=sa.func.coalesce(column.started_at, began),
                paced_from=sa.func.coalesce(column.paced_from, began),
                paced_done=sa.case((column.paced_from.is_(None), done), else_=column.paced_done),
            )
            .returning(column.next_shard)
        )

        telling = self._outbox.telling()

        def unit(connection: sa.Connection) -> int | None:
            first = connection.execute(runs).scalar()
            if first is None:
                return None
            number = connection.execute(
                sa.select(sa.func.min(batch_shards.c.number)).where(
                    batch_shards.c.batch_id == batch_id,
                    batch_shards.c.number >= first,
                    batch_shards.c.left > 0,
                )
            ).scalar()
            if number is None:
                if (completed := complete(connection, batch_id, now)) is not None:
                    telling.tell(connection, batch_changed(completed, now))
            else:
                given_out = sa.update(batches).where(column.id == batch_id)
                connection.execute(given_out.values(next_shard=number + 1))
            return number

        number = await self._database.write(unit)
        telling.wake()
        return number

    async def begin_shard(self, batch_id: str, number: int) -> int:
        """Fences off any other worker on the shard; returns the attempt, which identifies this
        worker."""
        change = (
            sa.update(batch_shards)
            .where(batch_shards.c.batch_id == batch_id, batch_shards.c.number == number)
            .values(attempt=batch_shards.c.attempt + 1)
            .returning(batch_shards.c.attempt)
        )

        def unit(connection: sa.Connection) -> int:
            return int(connection.execute(change).scalar() or 0)

        return await self._database.write(unit)

    async def waiting_items(self, batch: BatchRow, shard: int) -> list[BatchItem]:
        first = shard * batch.shard_size
        query = (
            sa.select(batch_items)
            .where(
                batch_items.c.batch_id == batch.id,
                batch_items.c.number >= first,
                batch_items.c.number < first + batch.shard_size,
                batch_items.c.state == "waiting",
                batch_items.c.same_as.is_(None),
            )
            .order_by(batch_items.c.number)
        )
        return [item_of(row) for row in await self._database.mappings(query)]

    async def commit(
        self,
        batch: BatchRow,
        shard: int,
        attempt: int,
        outcomes: Sequence[ItemOutcome],
        beside: Unit[None] | None = None,
    ) -> BatchRow | None:
        """Store results, progress and `beside` in one transaction. Returns the batch afterwards;
        None: another worker has the shard now, and nothing was stored."""

        done = [each for each in outcomes if not each.again]
        again = [each.item.number for each in outcomes if each.again]
        mine = {
            "batch": batch.id,
            "shard": shard,
            "mine": attempt,
            "done": len(done),
            "stored": done[0].result.id if done else None,
        }

        telling = self._outbox.telling()

        def unit(connection: sa.Connection) -> BatchRow | None:
            if not connection.execute(_TAKE, mine).rowcount:
                # Perhaps this worker did commit, and lost the connection before the reply: then it
                # succeeded.
                row = connection.execute(_AFTER, mine).mappings().first()
                return None if row is None else BatchRow(**row)
            stored = _store(connection, batch, done, self._twin_entry)
            if beside is not None:
                beside(connection)
            queue_twins(connection, done)
            if again:
                connection.execute(_AGAIN, {"batch": batch.id, "numbers": again})
            count_results(connection, [result for _, result in stored])
            after = _advance(connection, batch, stored, [each.result for each in outcomes])
            telling.tell(connection, *(result_created(result) for _, result in stored))
            has_failed = any(result.status == "failed" for _, result in stored)
            now = self._clock()
            ended = _ended(connection, after, now, has_failed=has_failed)
            if ended is not None:
                telling.tell(connection, batch_changed(ended, now))
                return ended
            return _tell_progress(connection, telling, after, now)

        after = await self._database.write(unit)
        telling.wake()
        if self._committed is not None and after is not None:
            self._committed.put(after)
        return after


PROGRESS_EVERY = timedelta(seconds=5)
"""Minimum interval between two progress events of a batch."""

# The statements of a commit, built once: SQLAlchemy takes longer to build and cache-match them than
# to run them.
_STORED = sa.exists().where(results.c.id == sa.bindparam("stored"))
_TAKE = (
    sa.update(batch_shards)
    .where(
        batch_shards.c.batch_id == sa.bindparam("batch"),
        batch_shards.c.number == sa.bindparam("shard"),
        batch_shards.c.attempt == sa.bindparam("mine"),
        ~_STORED,
    )
    .values(left=batch_shards.c.left - sa.bindparam("done"))
)
_AFTER = sa.select(batches).where(batches.c.id == sa.bindparam("batch"), _STORED)
_TWINS = sa.select(batch_items).where(
    batch_items.c.batch_id == sa.bindparam("batch"),
    batch_items.c.same_as.in_(sa.bindparam("numbers", expanding=True)),
)
_DONE = (
    sa.update(batch_items)
    .where(
        batch_items.c.batch_id == sa.bindparam("batch"),
        batch_items.c.number == sa.bindparam("this"),
    )
    .values(state="done", result_id=sa.bindparam("result"))
)
_AGAIN = (
    sa.update(batch_items)
    .where(
        batch_items.c.batch_id == sa.bindparam("batch"),
        batch_items.c.number.in_(sa.bindparam("numbers", expanding=True)),
    )
    .values(attempts=batch_items.c.attempts + 1)
)
_COUNTED = (
    *("accepted", "needs_review", "failed", "expected", "correct"),
    *("prompt_tokens", "completion_tokens", "cost_usd"),
)
_ADVANCE = (
    sa.update(batches)
    .where(batches.c.id == sa.bindparam("batch"))
    .values({name: batches.c[name] + sa.bindparam(f"more_{name}") for name in _COUNTED})
    .returning(batches)
)
_TOLD = (
    sa.update(batches)
    .where(batches.c.id == sa.bindparam("batch"))
    .values(progress_told_at=sa.bindparam("now"))
)


def _store(
    connection: sa.Connection,
    batch: BatchRow,
    outcomes: Sequence[ItemOutcome],
    twin_entry: TwinEntry | None,
) -> list[tuple[BatchItem, Result]]:
    """Store results of items and of their duplicates."""
    stored = [(each.item, each.result) for each in outcomes]
    if not stored:
        return []
    if batch.duplicates:
        originals = {each.item.number: each for each in outcomes}
        wanted = {"batch": batch.id, "numbers": list(originals)}
        entries: list[LedgerEntry] = []
        for row in connection.execute(_TWINS, wanted).mappings():
            twin = item_of(row)
            original = originals[twin.same_as or 0]
            result = original.twins[twin.number] = _twin_of(original.result, twin)
            stored.append((twin, result))
            if twin_entry is not None and result.cached and original.worth_usd is not None:
                entries.append(twin_entry(batch.id, result, original.worth_usd))
        book(connection, entries)
    rows = [row_of(result) for _, result in stored]
    connection.execute(sa.insert(results), rows)
    connection.execute(
        _DONE,
        [{"batch": batch.id, "this": item.number, "result": result.id} for item, result in stored],
    )
    return [
        (item, _linked(result, link_similar(connection, values)))
        for (item, result), values in zip(stored, rows, strict=True)
    ]


def _linked(result: Result, similar_to: str | None) -> Result:
    return result if similar_to is None else result.model_copy(update={"similar_to": similar_to})


def _twin_of(result: Result, item: BatchItem) -> Result:
    """The same answer for another item; nothing was paid for it."""
    usage = Usage(prompt_tokens=0, completion_tokens=0, cost_usd=Decimal(0))
    return result.model_copy(
        update={
            "id": new_id(RESULT),
            "cached": result.status != "failed",
            "usage": result.usage and usage,
            "expected": item.expected,
            "expected_source": "request" if item.expected is not None else None,
            "metadata": item.metadata,
        }
    )


def _advance(
    connection: sa.Connection,
    batch: BatchRow,
    stored: Sequence[tuple[BatchItem, Result]],
    paid: Sequence[Result],
) -> BatchRow:
    """Count what was stored and what was paid."""
    outcomes = [result for _, result in stored]
    known = [each.is_right for each in outcomes if each.is_right is not None]
    used = [each.usage for each in paid if each.usage is not None]
    counted: dict[str, Any] = {
        "accepted": sum(each.status == "accepted" for each in outcomes),
        "needs_review": sum(each.status == "needs_review" for each in outcomes),
        "failed": sum(each.status == "failed" for each in outcomes),
        "expected": len(known),
        "correct": sum(known),
        "prompt_tokens": sum(each.prompt_tokens for each in used),
        "completion_tokens": sum(each.completion_tokens for each in used),
        "cost_usd": sum((each.cost_usd or Decimal(0) for each in used), Decimal(0)),
    }
    change = {"batch": batch.id} | {f"more_{name}": counted[name] for name in _COUNTED}
    return BatchRow(**connection.execute(_ADVANCE, change).mappings().one())


def _ended(
    connection: sa.Connection, batch: BatchRow, now: datetime, *, has_failed: bool
) -> BatchRow | None:
    """End the batch if this commit stored its last result; None: it continues, or ended before.
    `has_failed`: an item failed in this commit; of earlier failures only the count may be left."""
    ended: BatchStatus
    if batch.on_error == "stop" and has_failed and batch.status in UNFINISHED:
        ended, reason = "failed", "An item failed."
    elif batch.done == batch.total and batch.status not in (*OVER, DELETED):
        ended, reason = "completed", None
    else:
        return None
    end = sa.update(batches).where(batches.c.id == batch.id)
    connection.execute(end.values(status=ended, reason=reason, completed_at=now))
    return replace(batch, status=ended, reason=reason, completed_at=now)


def _tell_progress(
    connection: sa.Connection, telling: Telling, batch: BatchRow, now: datetime
) -> BatchRow:
    """Publish progress if anyone subscribes to it and the last event is long enough ago."""
    last = batch.progress_told_at
    if batch.status not in UNFINISHED or (last is not None and now - last < PROGRESS_EVERY):
        return batch
    if not telling.wants("batch.progress", batch.caller, batch.domain):
        return batch
    connection.execute(_TOLD, {"batch": batch.id, "now": now})
    telling.tell(connection, batch_progress(batch, now))
    return replace(batch, progress_told_at=now)
