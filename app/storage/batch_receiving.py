"""Batches while they are received: they are invisible until complete. All SQL for that is here."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.errors import BatchNotFound
from app.storage.batch_deletion import delete_rows, hiding
from app.storage.batch_rows import BadRow, BatchItem, BatchRow
from app.storage.database import Database
from app.storage.tables import IS_UPLOAD, batch_errors, batch_items, batch_shards, batches

TWINS_WITHIN = 1_000
"""Items among which those with the same picture count as duplicates, whose results are stored
together. Others get the kept answer."""


AT_ONCE = 500
"""Sources per query."""


class ReceivingRepository:
    """Rows come in, a group at a time; then duplicates are found and shards are cut."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    async def create(self, batch: BatchRow) -> None:
        values = {name: getattr(batch, name) for name in BatchRow.__dataclass_fields__}
        await self._database.change(sa.insert(batches), values)

    async def add(
        self, batch_id: str, items: Sequence[BatchItem], bad_rows: Sequence[BadRow]
    ) -> None:
        """Add rows while the batch is received. Raises BatchNotFound when it was deleted as
        abandoned."""
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

    async def pictures(self, batch_id: str) -> int:
        """How many different sources there are."""
        query = sa.select(sa.func.count(batch_items.c.source.distinct())).where(
            batch_items.c.batch_id == batch_id
        )
        return await self._database.scalar(query) or 0

    async def uploads(self, batch_id: str, *, after: str) -> list[str]:
        """Sources of uploaded items, sorted, the first ones after `after`."""
        column = batch_items.c
        query = (
            sa.select(column.source)
            .distinct()
            .where(column.batch_id == batch_id, IS_UPLOAD, column.source > after)
            .order_by(column.source)
            .limit(AT_ONCE)
        )
        return await self._database.scalars(query)

    async def received(self, batch_id: str) -> None:
        """Everything has arrived: find duplicates, cut shards and queue the batch. Raises as
        `add`."""

        def unit(connection: sa.Connection) -> None:
            _check_receiving(connection, batch_id)
            _find_duplicates(connection, batch_id)
            _cut_shards(connection, batch_id)

        await self._database.write(unit)

    async def forget(self, batch_id: str) -> None:
        """Delete every trace of the batch."""
        await self._database.write(hiding(batch_id))
        await delete_rows(self._database, batch_id)

    async def forget_unreceived(self, *, older_than_s: float) -> int:
        """Delete batches whose receiving was cut off by a crash; nobody was given their ids."""
        until = self._clock() - timedelta(seconds=older_than_s)
        cut_off = sa.select(batches.c.id).where(
            batches.c.status == "receiving", batches.c.created_at <= until
        )
        found = await self._database.scalars(cut_off)
        for batch_id in found:
            await self.forget(batch_id)
        return len(found)


def _check_receiving(connection: sa.Connection, batch_id: str) -> None:
    """The status can't change until the end of the transaction."""
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
