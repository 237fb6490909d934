"""Batches in the database: created, read, controlled. All SQL for that is here."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from app.errors import BatchNotFound
from app.result import Result
from app.storage.batch_report import BatchReport
from app.storage.batch_rows import (
    HIDDEN,
    OVER,
    OVERDUE,
    UNFINISHED,
    BadRow,
    BatchItem,
    BatchRow,
    BatchStatus,
    Committed,
    complete,
    item_of,
)
from app.storage.database import Database
from app.storage.events import batch_changed
from app.storage.outbox import Outbox, forget_events
from app.storage.results import result_of
from app.storage.seen_by import seen_by
from app.storage.tables import batch_errors, batch_items, batch_shards, batches, results

AT_ONCE = 500
"""Identifiers, or rows, in one statement."""


class BatchRepository:
    """`caller` None means an operator, who sees all batches; to other callers, only their own
    exist."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        committed: Committed | None = None,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._committed = committed or Committed()
        self._clock = clock

    def report(self, batch: BatchRow) -> BatchReport:
        """Its progress as of now."""
        return BatchReport.of(batch, self._clock())

    async def get(self, batch_id: str, *, caller: str | None = None) -> BatchRow:
        """Raises BatchNotFound."""
        known = self._committed.get(batch_id)
        if known is not None and caller in (None, known.caller):
            return known
        query = sa.select(batches).where(batches.c.id == batch_id)
        row = await self._database.first(seen_by(caller, batches, query))
        if row is None or row["status"] in HIDDEN:
            raise BatchNotFound(f"There is no batch {batch_id}.")
        return BatchRow(**row)

    async def page(
        self,
        statuses: Sequence[BatchStatus] = (),
        *,
        caller: str | None,
        before: str | None,
        limit: int,
    ) -> list[BatchRow]:
        """Batches with one of `statuses`, or all: newest first, older than the id `before`."""
        query = sa.select(batches).where(batches.c.status.not_in(HIDDEN))
        if statuses:
            query = query.where(batches.c.status.in_(statuses))
        if before is not None:
            query = query.where(batches.c.id < before)
        query = seen_by(caller, batches, query).order_by(batches.c.id.desc()).limit(limit)
        return [BatchRow(**row) for row in await self._database.mappings(query)]

    async def items(
        self, batch_id: str, *, after: int, limit: int
    ) -> list[tuple[BatchItem, Result | None]]:
        """In item order, after the number `after`, with the results there are so far."""
        query = (
            sa.select(batch_items)
            .where(batch_items.c.batch_id == batch_id, batch_items.c.number > after)
            .order_by(batch_items.c.number)
            .limit(limit)
        )

        def unit(connection: sa.Connection) -> list[tuple[BatchItem, Result | None]]:
            found = [item_of(row) for row in connection.execute(query).mappings()]
            ids = [each.result_id for each in found if each.result_id]
            wanted = sa.select(results).where(results.c.id.in_(ids))
            known = {row["id"]: result_of(row) for row in connection.execute(wanted).mappings()}
            return [(each, known.get(each.result_id or "")) for each in found]

        return await self._database.read(unit)

    async def bad_rows(self, batch_id: str, *, after: int, limit: int) -> list[BadRow]:
        query = (
            sa.select(batch_errors)
            .where(batch_errors.c.batch_id == batch_id, batch_errors.c.number > after)
            .order_by(batch_errors.c.number)
            .limit(limit)
        )
        rows = await self._database.mappings(query)
        return [BadRow(row["number"], row["place"], row["reason"]) for row in rows]

    async def all_bad_rows(self, batch_id: str) -> AsyncIterator[list[BadRow]]:
        """All of them, a page at a time."""
        after = -1
        while page := await self.bad_rows(batch_id, after=after, limit=AT_ONCE):
            yield page
            after = page[-1].number

    async def change_status(
        self,
        batch_id: str,
        status: BatchStatus,
        *,
        of: Iterable[BatchStatus],
        reason: str = "",
        resumes_at: datetime | None = None,
    ) -> bool:
        """Returns whether it was in one of `of`. `resumes_at`: when a paused batch resumes
        automatically."""
        values: dict[str, Any] = {"status": status}
        if status == "paused":
            values["paced_from"] = None
        values |= {"reason": reason or None, "resumes_at": resumes_at}
        if status in OVER:
            values["completed_at"] = self._clock()
        change = (
            sa.update(batches)
            .where(batches.c.id == batch_id, batches.c.status.in_(list(of)))
            .values(values)
            .returning(batches)
        )
        changed = await self._change(change, told=status in (*OVER, "paused"))
        self._committed.drop(batch_id)
        return changed > 0

    async def _change(self, change: Any, *, told: bool) -> int:
        """Run a statement that returns whole batches; returns how many there were."""
        telling, now = self._outbox.telling(), self._clock()

        def unit(connection: sa.Connection) -> int:
            rows = [BatchRow(**row) for row in connection.execute(change).mappings()]
            if told:
                telling.tell(connection, *(batch_changed(row, now) for row in rows))
            return len(rows)

        count = await self._database.write(unit)
        telling.wake()
        return count

    async def change_lane(self, batch_id: str, lane: str) -> None:
        change = sa.update(batches).where(batches.c.id == batch_id).values(lane=lane)
        await self._database.change(change)
        self._committed.drop(batch_id)

    async def retry_failed(self, batch_id: str) -> int:
        """Forget the results of failed items, so that they are classified again; returns how many.
        The batch must be over, or items would be counted twice."""

        telling, now = self._outbox.telling(), self._clock()

        def unit(connection: sa.Connection) -> int:
            again = (
                sa.update(batches)
                .where(batches.c.id == batch_id, batches.c.status.in_(OVER))
                .values(
                    status="queued",
                    reason=None,
                    deadline=None,
                    completed_at=None,
                    paced_from=None,
                    next_shard=0,
                )
                .returning(batches.c.shard_size)
            )
            size = connection.execute(again).scalar()
            if size is None:
                return 0
            count = _forget_failed(connection, batch_id, size)
            this = sa.update(batches).where(batches.c.id == batch_id)
            connection.execute(this.values(failed=batches.c.failed - count))
            if (completed := complete(connection, batch_id, now)) is not None:
                telling.tell(connection, batch_changed(completed, now))
            return count

        count = await self._database.write(unit)
        telling.wake()
        return count

    async def end_overdue(self) -> None:
        """Including paused batches."""
        now = self._clock()
        change = (
            sa.update(batches)
            .where(
                batches.c.deadline <= now,
                batches.c.status.in_([*UNFINISHED, "paused"]),
            )
            .values(
                status="failed",
                reason=OVERDUE,
                resumes_at=None,
                completed_at=now,
            )
            .returning(batches)
        )
        await self._change(change, told=True)
        self._committed.clear()

    async def resume_due(self) -> None:
        """Batches whose pause has run out."""
        change = (
            sa.update(batches)
            .where(batches.c.resumes_at <= self._clock(), batches.c.status == "paused")
            .values(status="running", reason=None, resumes_at=None)
            .returning(batches)
        )
        await self._change(change, told=False)

    async def change_budget(self, batch_id: str, amount_usd: Decimal | None) -> None:
        """None: there is no limit any more."""
        change = sa.update(batches).where(batches.c.id == batch_id).values(budget_usd=amount_usd)
        await self._database.change(change)
        self._committed.drop(batch_id)

    async def unfinished(self) -> list[str]:
        """Batches on which there is work to do."""
        query = (
            sa.select(batches.c.id).where(batches.c.status.in_(UNFINISHED)).order_by(batches.c.id)
        )
        return await self._database.scalars(query)


def _forget_failed(connection: sa.Connection, batch_id: str, shard_size: int) -> int:
    failed = (
        sa.select(results.c.id)
        .join(batch_items, batch_items.c.result_id == results.c.id)
        .where(batch_items.c.batch_id == batch_id, results.c.status == "failed")
    )
    ids = list(connection.execute(failed).scalars())
    reset = (
        sa.update(batch_items)
        .where(batch_items.c.batch_id == batch_id, batch_items.c.result_id.in_(failed))
        .values(state="waiting", attempts=0, result_id=None)
    )
    connection.execute(reset)
    for first in range(0, len(ids), AT_ONCE):
        some = ids[first : first + AT_ONCE]
        connection.execute(sa.delete(results).where(results.c.id.in_(some)))
        forget_events(connection, some)
    waiting = (
        sa.select(sa.func.count())
        .where(
            batch_items.c.batch_id == batch_id,
            batch_items.c.state == "waiting",
            batch_items.c.same_as.is_(None),
            batch_items.c.number >= batch_shards.c.number * shard_size,
            batch_items.c.number < (batch_shards.c.number + 1) * shard_size,
        )
        .scalar_subquery()
    )
    connection.execute(
        sa.update(batch_shards).where(batch_shards.c.batch_id == batch_id).values(left=waiting)
    )
    return len(ids)
