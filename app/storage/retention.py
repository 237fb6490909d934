"""What is old enough to be deleted, and what is still needed. All SQL for that is here.

Rows are found by reads and deleted in small transactions, so that no one waits long for them.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from app.identifiers import AUDIT, CALL, DELIVERY, RESULT, lowest_id
from app.storage.batch_deletion import delete_rows, hiding
from app.storage.batch_rows import DELETED, DIGEST, OVER
from app.storage.database import Database
from app.storage.deliveries import delete_deliveries
from app.storage.examples import forget_examples_of_batch
from app.storage.outbox import forget_events
from app.storage.review_queue import forget_reviews
from app.storage.review_rows import UNSEEN
from app.storage.tables import (
    IS_UPLOAD,
    accepted,
    alerts,
    audit,
    batch_items,
    batches,
    deliveries,
    erasures,
    events,
    examples,
    idempotency_keys,
    ledger,
    results,
    reviews,
    webhooks,
)

AT_ONCE = 500
"""Rows of a table deleted, or read, at a time."""


class RetentionRepository:
    """Pages start after the id `after`; the first one, after the empty string."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def old_results(self, before: datetime, *, after: str) -> list[str]:
        """Ids of results requested before then, except those pending or of a batch that is not
        over."""
        return await self._database.scalars(
            sa.select(results.c.id)
            .where(results.c.id > after, *_goes(before))
            .order_by(results.c.id)
            .limit(AT_ONCE)
        )

    async def delete_results(self, ids: Sequence[str], before: datetime) -> int:
        """Checks their age again; returns how many were left to delete."""
        goes = sa.delete(results).where(results.c.id.in_(list(ids)), *_goes(before))

        def unit(connection: sa.Connection) -> int:
            gone = connection.execute(goes.returning(results.c.id)).scalars().all()
            forget_events(connection, gone)
            forget_reviews(connection, gone)
            return len(gone)

        return await self._database.write(unit)

    async def old_deliveries(self, before: datetime, *, after: str) -> list[str]:
        """Ids of ended deliveries created before then."""
        column = deliveries.c
        return await self._database.scalars(
            sa.select(column.id)
            .where(column.id > after, *_are_over(before))
            .order_by(column.id)
            .limit(AT_ONCE)
        )

    async def delete_deliveries(self, ids: Sequence[str], before: datetime) -> int:
        """Checks their age again; returns how many were left to delete."""
        column = deliveries.c
        goes = sa.select(column.id).where(column.id.in_(list(ids)), *_are_over(before))

        return await self._database.write(
            lambda each: delete_deliveries(each, goes, *_are_over(before))
        )

    async def old_entries(self, before: datetime, *, after: str) -> list[str]:
        """Ids of entries from before then that are in the sums."""
        column = ledger.c
        return await self._database.scalars(
            sa.select(column.id)
            .where(column.id > after, column.id < lowest_id(CALL, before), column.rolled)
            .order_by(column.id)
            .limit(AT_ONCE)
        )

    async def delete_entries(self, ids: Sequence[str]) -> int:
        """Returns how many were left to delete."""
        return await self._database.change(sa.delete(ledger).where(ledger.c.id.in_(list(ids))))

    async def old_alerts(self, before: datetime, *, after: str) -> list[str]:
        """Ids of alerts that resolved before then."""
        column = alerts.c
        return await self._database.scalars(
            sa.select(column.id)
            .where(column.id > after, column.resolved_at < before)
            .order_by(column.id)
            .limit(AT_ONCE)
        )

    async def delete_alerts(self, ids: Sequence[str]) -> int:
        """Returns how many were left to delete."""
        goes = sa.delete(alerts).where(alerts.c.id.in_(list(ids)))

        def unit(connection: sa.Connection) -> int:
            gone = connection.execute(goes.returning(alerts.c.id)).scalars().all()
            forget_events(connection, gone)
            return len(gone)

        return await self._database.write(unit)

    async def old_audit(self, before: datetime, *, after: str) -> list[str]:
        """Ids of entries from before then."""
        column = audit.c
        return await self._database.scalars(
            sa.select(column.id)
            .where(column.id > after, column.id < lowest_id(AUDIT, before))
            .order_by(column.id)
            .limit(AT_ONCE)
        )

    async def delete_audit(self, ids: Sequence[str]) -> int:
        """Returns how many were left to delete."""
        return await self._database.change(sa.delete(audit).where(audit.c.id.in_(list(ids))))

    async def untold_events(self, before: datetime, *, after: int) -> list[int]:
        """Numbers of events from before then without deliveries: left when two processes deleted an
        event's deliveries at the same time."""
        some = sa.exists().where(deliveries.c.event == events.c.number)
        query = (
            sa.select(events.c.number)
            .where(events.c.number > after, events.c.created_at < before, ~some)
            .order_by(events.c.number)
            .limit(AT_ONCE)
        )
        return await self._database.scalars(query)

    async def delete_events(self, numbers: Sequence[int]) -> int:
        return await self._database.change(
            sa.delete(events).where(events.c.number.in_(list(numbers)))
        )

    async def delete_unused_callbacks(self, before: datetime) -> int:
        """Callbacks to which nothing was sent since then."""
        some = sa.exists().where(deliveries.c.webhook_id == webhooks.c.id)
        return await self._database.change(
            sa.delete(webhooks).where(
                webhooks.c.kind == "callback", webhooks.c.changed_at < before, ~some
            )
        )

    async def old_batches(self, before: datetime | None, *, after: str) -> list[str]:
        """Ids of batches that ended before then, and of those whose deletion was cut off."""
        column = batches.c
        goes = column.status == DELETED if before is None else _ended(before)
        query = sa.select(column.id).where(column.id > after, goes, ~_IS_ERASED)
        return await self._database.scalars(query.order_by(column.id).limit(AT_ONCE))

    async def delete_batch(self, batch_id: str, *, ended_before: datetime | None = None) -> bool:
        """Delete the batch with its items and their results and, unless deleted only for age, the
        examples made from these. It is invisible from the start; if a crash cuts this off, it is
        one of the `old_batches`. False: it is not over, or did not end before `ended_before`."""
        hide = hiding(batch_id, _ended(ended_before), ~_IS_ERASED)

        def unit(connection: sa.Connection) -> bool:
            hidden = hide(connection)
            if hidden and ended_before is None:
                forget_examples_of_batch(connection, batch_id)
            return hidden

        if not await self._database.write(unit):
            return False
        await delete_rows(self._database, batch_id)
        return True

    async def count_keys(self, before: datetime) -> int:
        """Idempotency keys that were first used before then."""
        query = sa.select(sa.func.count()).where(idempotency_keys.c.created_at < before)
        return await self._database.scalar(query) or 0

    async def delete_keys(self, before: datetime) -> int:
        """Delete the oldest of them; returns how many, 0 when there are no more."""
        column = idempotency_keys.c
        last = (
            sa.select(column.created_at)
            .where(column.created_at < before)
            .order_by(column.created_at)
            .offset(AT_ONCE - 1)
            .limit(1)
            .scalar_subquery()
        )
        return await self._database.change(
            sa.delete(idempotency_keys).where(
                column.created_at < before,
                column.created_at <= sa.func.coalesce(last, column.created_at),
            )
        )

    async def needed(
        self,
        pictures: Sequence[str],
        ended_before: datetime | None,
        answered_before: datetime | None = None,
    ) -> set[str]:
        """Those of the blobs `pictures` that are still needed: by an accepted picture that waits;
        by a batch that is not over or ended no earlier than `ended_before` (None: any batch); by a
        review of a result no older than `answered_before` (None: any), open or decided; or by an
        example."""
        found: set[str] = set()
        for first in range(0, len(pictures), AT_ONCE):
            names = pictures[first : first + AT_ONCE]
            found.update(await self._needed(names, ended_before, answered_before))
        return found

    async def forget_pictures(self, names: Sequence[str], before: datetime) -> None:
        """Answers from before then can't be shown any more: their reviews move behind all that can
        be."""
        for first in range(0, len(names), AT_ONCE):
            some = list(names[first : first + AT_ONCE])
            of_old = reviews.c.picture.in_(some), reviews.c.created_at < before
            values = {"picture": None, "rank": reviews.c.rank + UNSEEN}
            await self._database.change(sa.update(reviews).where(*of_old).values(values))

    async def _needed(
        self,
        names: Sequence[str],
        ended_before: datetime | None,
        answered_before: datetime | None,
    ) -> list[str]:
        waiting = sa.select(accepted.c.result_id).where(accepted.c.result_id.in_(list(names)))
        column = batches.c
        needs = column.status != DELETED
        if ended_before is not None:
            needs &= column.status.not_in(OVER) | (column.completed_at >= ended_before)
        of_batches = (
            sa.select(sa.func.substr(batch_items.c.source, len(DIGEST) + 1))
            .join(batches, column.id == batch_items.c.batch_id)
            .where(
                IS_UPLOAD,
                batch_items.c.source.in_([DIGEST + name for name in names]),
                batch_items.c.same_as.is_(None),
                needs,
            )
        )
        of_reviews = sa.select(reviews.c.picture).where(reviews.c.picture.in_(list(names)))
        if answered_before is not None:
            of_reviews = of_reviews.where(reviews.c.created_at >= answered_before)
        of_examples = sa.select(examples.c.picture).where(examples.c.picture.in_(list(names)))
        return await self._database.scalars(waiting.union(of_batches, of_reviews, of_examples))


_IS_ERASED = sa.exists().where(erasures.c.caller == batches.c.caller, erasures.c.ended_at.is_(None))
"""Its caller is being erased: the erasure does more than delete its rows, and must find them
all."""


def _are_over(before: datetime) -> list[sa.ColumnElement[bool]]:
    return [deliveries.c.id < lowest_id(DELIVERY, before), deliveries.c.state != "pending"]


def _goes(before: datetime) -> list[sa.ColumnElement[bool]]:
    of_unfinished = (
        sa.select(batch_items.c.result_id)
        .join(batches, batches.c.id == batch_items.c.batch_id)
        .where(batch_items.c.result_id == results.c.id, batches.c.status.not_in((*OVER, DELETED)))
    )
    return [
        results.c.id < lowest_id(RESULT, before),
        results.c.status != "pending",
        ~of_unfinished.exists(),
    ]


def _ended(before: datetime | None) -> sa.ColumnElement[bool]:
    """Or is already partly deleted."""
    over: sa.ColumnElement[bool] = batches.c.status.in_(OVER)
    if before is not None:
        over &= batches.c.completed_at < before
    return over | (batches.c.status == DELETED)
