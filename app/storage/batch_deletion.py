"""Deleting a batch: at once for the caller, in small transactions for the database."""

from functools import partial
from typing import Any

import sqlalchemy as sa

from app.storage.batch_rows import DELETED
from app.storage.database import Database, Unit
from app.storage.outbox import forget_events
from app.storage.review_queue import forget_reviews
from app.storage.tables import (
    batch_errors,
    batch_items,
    batch_shards,
    batches,
    idempotency_keys,
    results,
)

ROWS_AT_ONCE = 500
"""Rows of a table deleted in one transaction, which bounds how long others wait."""

OF_BATCHES = (batch_shards, batch_items, batch_errors)
"""Shards are deleted first: without its shard, no worker can store a result of the batch."""


def hiding(batch_id: str, *conditions: sa.ColumnElement[bool]) -> Unit[bool]:
    """Makes the batch invisible; a crash only delays deleting the rest. Returns whether the
    conditions held."""
    hide = sa.update(batches).where(batches.c.id == batch_id, *conditions).values(status=DELETED)
    # The same request now creates a new batch.
    free = sa.delete(idempotency_keys).where(idempotency_keys.c.result_id == batch_id)

    def unit(connection: sa.Connection) -> bool:
        if not connection.execute(hide).rowcount:
            return False
        connection.execute(free)
        forget_events(connection, [batch_id])
        return True

    return unit


async def stop_work(database: Database, batch_id: str) -> None:
    """Stops workers from storing more results of a hidden batch. Raises StorageUnavailable."""
    while await database.write(partial(_delete_some, batch_shards, batch_id)):
        pass


async def delete_rows(database: Database, batch_id: str) -> None:
    """Deletes a hidden batch, with its items' results. Raises StorageUnavailable."""
    for table in OF_BATCHES:
        while await database.write(partial(_delete_some, table, batch_id)):
            pass
    # If another process is still deleting rows of it, that process deletes the batch itself.
    rest = [sa.exists().where(table.c.batch_id == batch_id) for table in OF_BATCHES]
    last = sa.delete(batches).where(
        batches.c.id == batch_id, batches.c.status == DELETED, ~sa.or_(*rest)
    )
    await database.change(last)


def _delete_some(table: sa.Table, batch_id: str, connection: sa.Connection) -> int:
    """Returns how many rows were deleted."""

    def first(column: sa.Column[Any]) -> sa.Select[Any]:
        mine = sa.select(column).where(table.c.batch_id == batch_id)
        return mine.order_by(table.c.number).limit(ROWS_AT_ONCE)

    some = sa.delete(table).where(
        table.c.batch_id == batch_id, table.c.number.in_(first(table.c.number))
    )
    if table is not batch_items:
        return connection.execute(some).rowcount
    # Only results of the rows deleted by this statement: another process may delete others.
    gone = connection.execute(some.returning(table.c.result_id)).scalars().all()
    ids = [each for each in gone if each is not None]
    connection.execute(sa.delete(results).where(results.c.id.in_(ids)))
    forget_events(connection, ids)
    forget_reviews(connection, ids)
    return len(gone)
