"""Batches in the database: taken in, read, controlled. All SQL about that is here."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.errors import BatchNotFound
from app.storage.batch_deletion import delete_rows, hiding
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
from app.storage.results import Result, result_of
from app.storage.tables import batch_errors, batch_items, batch_shards, batches, results

AT_ONCE = 500
"""Identifiers in one statement."""

TWINS_WITHIN = 1_000
"""Items among which one with the same picture is taken for a duplicate: they are stored together.
Others get the kept answer."""


class BatchRepository:
    """`caller` None means an operator, who sees all batches; to others, others' don't exist."""

    def __init__(self, database: Database, committed: Committed | None = None) -> None:
        self._database = database
        self._committed = committed or Committed()

    async def create(self, batch: BatchRow) -> None:
        values = {name: getattr(batch, name) for name in BatchRow.__dataclass_fields__}
        await self._database.write(lambda each: _run(each, sa.insert(batches).values(values)))

    async def add(
        self, batch_id: str, items: Sequence[BatchItem], bad_rows: Sequence[BadRow]
    ) -> None:
        """More of what belongs to it, while it is received. Raises BatchNotFound when it was taken
        for left behind."""
        rows = [_item_row(batch_id, each) for each in items]
        errors = [
            {
                "batch_id": batch_id,
                "number": each.number,
                "place": each.place[:255],
                "reason": each.reason[:500],
            }
            for each in bad_rows
        ]

        def unit(connection: sa.Connection) -> None:
            _check_receiving(connection, batch_id)
            if rows:
                connection.execute(sa.insert(batch_items), rows)
            if errors:
                connection.execute(sa.insert(batch_errors), errors)

        await self._database.write(unit)

    async def received(self, batch_id: str) -> None:
        """All of it is there: duplicates are found, shards are cut, and it can begin. Raises as
        `add`."""

        def unit(connection: sa.Connection) -> None:
            _check_receiving(connection, batch_id)
            _find_duplicates(connection, batch_id)
            _cut_shards(connection, batch_id)

        await self._database.write(unit)

    async def get(self, batch_id: str, *, caller: str | None = None) -> BatchRow:
        """Raises BatchNotFound."""
        known = self._committed.get(batch_id)
        if known is not None and caller in (None, known.caller):
            return known
        query = sa.select(batches).where(batches.c.id == batch_id)
        if caller is not None:
            query = query.where(batches.c.caller == caller)

        def unit(connection: sa.Connection) -> sa.RowMapping | None:
            return connection.execute(query).mappings().first()

        row = await self._database.read(unit)
        if row is None or row["status"] in HIDDEN:
            raise BatchNotFound(f"There is no batch {batch_id}.")
        return BatchRow(**row)

    async def page(self, *, caller: str | None, before: str | None, limit: int) -> list[BatchRow]:
        """The newest first, older than the id `before`."""
        query = sa.select(batches).where(batches.c.status.not_in(HIDDEN))
        if caller is not None:
            query = query.where(batches.c.caller == caller)
        if before is not None:
            query = query.where(batches.c.id < before)
        query = query.order_by(batches.c.id.desc()).limit(limit)

        def unit(connection: sa.Connection) -> list[BatchRow]:
            return [BatchRow(**row) for row in connection.execute(query).mappings()]

        return await self._database.read(unit)

    async def items(
        self, batch_id: str, *, after: int, limit: int
    ) -> list[tuple[BatchItem, Result | None]]:
        """In their order, from behind the number `after`, with the results that are there."""
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

        def unit(connection: sa.Connection) -> list[BadRow]:
            rows = connection.execute(query).mappings()
            return [BadRow(row["number"], row["place"], row["reason"]) for row in rows]

        return await self._database.read(unit)

    async def change_status(
        self, batch_id: str, status: BatchStatus, *, of: Iterable[BatchStatus], reason: str = ""
    ) -> bool:
        """Whether it was in one of `of`."""
        values: dict[str, Any] = {"status": status}
        if status == "paused":
            values["paced_from"] = None
        if reason:
            values["reason"] = reason
        if status in OVER:
            values["completed_at"] = datetime.now(UTC)
        change = (
            sa.update(batches)
            .where(batches.c.id == batch_id, batches.c.status.in_(list(of)))
            .values(values)
        )
        changed = await self._database.write(lambda each: bool(_run(each, change)))
        self._committed.drop(batch_id)
        return changed

    async def change_lane(self, batch_id: str, lane: str) -> None:
        change = sa.update(batches).where(batches.c.id == batch_id).values(lane=lane)
        await self._database.write(lambda each: _run(each, change))
        self._committed.drop(batch_id)

    async def retry_failed(self, batch_id: str) -> int:
        """Forget the results of items that failed, so that they are classified again; returns how
        many. The batch must be over, or it would be counted twice."""

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
            complete(connection, batch_id)
            return count

        return await self._database.write(unit)

    async def end_overdue(self) -> None:
        """Paused ones, too."""
        change = (
            sa.update(batches)
            .where(
                batches.c.deadline <= datetime.now(UTC),
                batches.c.status.in_([*UNFINISHED, "paused"]),
            )
            .values(status="failed", reason=OVERDUE, completed_at=datetime.now(UTC))
        )
        await self._database.write(lambda each: _run(each, change))
        self._committed.clear()

    async def unfinished(self) -> list[str]:
        """Batches on which there is work to do."""
        query = (
            sa.select(batches.c.id).where(batches.c.status.in_(UNFINISHED)).order_by(batches.c.id)
        )

        def unit(connection: sa.Connection) -> list[str]:
            return list(connection.execute(query).scalars())

        return await self._database.read(unit)

    async def forget(self, batch_id: str) -> None:
        """As if it had never been."""
        await self._database.write(hiding(batch_id))
        await delete_rows(self._database, batch_id)

    async def forget_unreceived(self, *, older_than_s: float) -> int:
        """What a crash cut off while it was received; nobody was told of it."""
        until = datetime.now(UTC) - timedelta(seconds=older_than_s)
        cut_off = sa.select(batches.c.id).where(
            batches.c.status == "receiving", batches.c.created_at <= until
        )

        def unit(connection: sa.Connection) -> list[str]:
            return list(connection.execute(cut_off).scalars())

        found = await self._database.read(unit)
        for batch_id in found:
            await self.forget(batch_id)
        return len(found)


def _run(connection: sa.Connection, statement: Any) -> int:
    return int(connection.execute(statement).rowcount)


def _check_receiving(connection: sa.Connection, batch_id: str) -> None:
    """It stays so until the end of the transaction."""
    same = {"status": "receiving"}
    receiving = sa.update(batches).where(batches.c.id == batch_id).filter_by(**same).values(same)
    if not connection.execute(receiving).rowcount:
        raise BatchNotFound(f"The batch {batch_id} was given up while it was received.")


def _item_row(batch_id: str, item: BatchItem) -> dict[str, Any]:
    return {
        "batch_id": batch_id,
        "number": item.number,
        "item_id": item.item_id,
        "source": item.source,
        "expected": item.expected,
        "metadata": item.metadata,
        "state": item.state,
    }


def _find_duplicates(connection: sa.Connection, batch_id: str) -> None:
    column = batch_items.c
    first = sa.func.min(column.number).over(
        partition_by=(column.source, column.number // TWINS_WITHIN)
    )
    of_source = (
        sa.select(column.number, first.label("first")).where(column.batch_id == batch_id).subquery()
    )
    change = (
        sa.update(batch_items)
        .where(
            column.batch_id == batch_id,
            column.number == of_source.c.number,
            of_source.c.first < of_source.c.number,
        )
        .values(same_as=of_source.c.first)
    )
    connection.execute(change)


def _cut_shards(connection: sa.Connection, batch_id: str) -> None:
    of_batch = batch_items.c.batch_id == batch_id
    size = connection.execute(
        sa.select(batches.c.shard_size).where(batches.c.id == batch_id)
    ).scalar_one()
    twin = sa.case((batch_items.c.same_as.is_(None), 0), else_=1)
    shard = (batch_items.c.number // size).label("shard")
    shards = (
        sa.select(sa.literal(batch_id), shard, sa.literal(0), sa.func.sum(1 - twin))
        .where(of_batch)
        .group_by(shard)
    )
    connection.execute(
        sa.insert(batch_shards).from_select(["batch_id", "number", "attempt", "left"], shards)
    )
    counted = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(twin), 0)).where(of_batch)
    total, duplicates = connection.execute(counted).one()
    errors = sa.select(sa.func.count()).where(batch_errors.c.batch_id == batch_id)
    connection.execute(
        sa.update(batches)
        .where(batches.c.id == batch_id)
        .values(
            total=total,
            duplicates=duplicates,
            bad_rows=connection.execute(errors).scalar_one(),
            status="queued",
        )
    )


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
