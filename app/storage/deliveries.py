"""Deliveries to webhooks, and every attempt at them. All SQL for that is here."""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa

from app.errors import DeliveryNotFound, EventForgotten
from app.identifiers import DELIVERY, lowest_id
from app.moment import EPOCH
from app.storage.database import Database
from app.storage.delivery_rows import (
    Attempt,
    Attempted,
    DeliveryFilter,
    DeliveryRow,
    Due,
    Failing,
    Waiting,
)
from app.storage.events import numbered, ping
from app.storage.outbox import DeliveryState, Listener, Outbox
from app.storage.tables import IS_PENDING, attempts, deliveries, events, webhooks

AT_ONCE = 1_000
"""Rows changed in one transaction."""


class DeliveryRepository:
    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def due(self, webhook_id: str, now: datetime, *, limit: int) -> list[Due]:
        """Longest waiting first."""
        wanted = {"webhook": webhook_id, "now": now, "most": limit}

        def unit(connection: sa.Connection) -> list[Due]:
            return [_due_of(row) for row in connection.execute(_DUE, wanted)]

        return await self._database.read(unit)

    async def next_due(self, webhook_id: str) -> datetime | None:
        """When the next delivery is due; None: none is pending."""
        query = sa.select(sa.func.min(deliveries.c.due_at)).where(
            deliveries.c.webhook_id == webhook_id, IS_PENDING
        )
        return await self._database.scalar(query)

    async def waiting(self) -> list[Waiting]:
        """Webhooks that have pending deliveries."""

        def unit(connection: sa.Connection) -> list[Waiting]:
            return [Waiting(*row) for row in connection.execute(_WAITING)]

        return await self._database.read(unit)

    async def record(self, attempted: Attempted, failing: Failing | None = None) -> bool:
        """Store an attempt and its outcome; `failing`, if that changes for the webhook. False:
        another process made this attempt, too. If the delivery was meanwhile sent anew by hand,
        only the attempt is stored."""
        delivery, attempt = attempted.delivery, attempted.attempt
        outcome = {
            "delivery": delivery.id,
            "seen": delivery.attempts,
            "was_due": delivery.due_at,
            "made": attempt.number,
            "more_tries": delivery.tries + 1,
            "to": attempted.state,
            "again": attempted.due_at,
            "ended": None if attempted.state == "pending" else attempted.due_at,
        }
        row = {
            "delivery_id": delivery.id,
            "number": attempt.number,
            "at": attempt.at,
            "duration_ms": attempt.duration_ms,
            "status": attempt.status,
            "error": attempt.error,
            "answer": attempt.answer,
        }

        def unit(connection: sa.Connection) -> bool:
            found = connection.execute(_RECORD, outcome).scalar()
            if found is None:
                counted = {name: outcome[name] for name in ("delivery", "seen", "made")}
                found = connection.execute(_COUNT, counted).scalar()
            if found is None:
                return False
            connection.execute(_LOG, row)
            if failing is not None:
                changed = {"since": failing.since, "changed": failing.changed_at}
                connection.execute(_FAILING, {"webhook": found, **changed})
            return True

        return await self._database.write(unit)

    async def give_up(self, delivery: Due, now: datetime) -> None:
        """For a delivery with nothing left to send."""
        change = (
            sa.update(deliveries)
            .where(deliveries.c.id == delivery.id, IS_PENDING)
            .values(state="failed", ended_at=now)
        )
        await self._database.change(change)

    async def miss_pending(self, webhook_id: str, now: datetime) -> int:
        """Mark a disabled webhook's pending deliveries as missed; returns how many there were."""
        disabled = sa.exists().where(webhooks.c.id == webhook_id, webhooks.c.status == "disabled")
        pending = (
            sa.select(deliveries.c.id)
            .where(deliveries.c.webhook_id == webhook_id, IS_PENDING, disabled)
            .limit(AT_ONCE)
        )
        change = (
            sa.update(deliveries)
            # Conditions repeated: PostgreSQL may have waited for another transaction's change to
            # the row.
            .where(
                deliveries.c.id.in_(pending),
                deliveries.c.webhook_id == webhook_id,
                IS_PENDING,
                disabled,
            )
            .values(state="missed", ended_at=now)
        )
        return await self._until_none(lambda each: int(each.execute(change).rowcount))

    async def add_ping(self, webhook_id: str, caller: str, due_at: datetime) -> Due:
        """Added whatever event types the webhook has. The caller sends it; if it does not, the
        regular delivery does."""
        telling = self._outbox.telling()

        def unit(connection: sa.Connection) -> Due:
            listener = Listener(webhook_id, caller, due_at=due_at)
            (added,) = telling.tell_to(connection, [(ping(caller, webhook_id), [listener])])
            row = connection.execute(_ONE_DUE.where(deliveries.c.id == added)).one()
            return _due_of(row)

        return await self._database.write(unit)

    async def get(self, delivery_id: str, *, caller: str | None) -> DeliveryRow:
        """Raises DeliveryNotFound."""
        query = _ROWS.where(deliveries.c.id == delivery_id)
        found = await self._rows(query.where(*DeliveryFilter(caller).conditions()))
        if not found:
            raise DeliveryNotFound(f"There is no delivery {delivery_id}.")
        return found[0]

    async def page(
        self, wanted: DeliveryFilter, *, before: str | None, limit: int
    ) -> list[DeliveryRow]:
        """Newest first, older than the id `before`."""
        query = _ROWS.where(*wanted.conditions()).order_by(deliveries.c.id.desc()).limit(limit)
        return await self._rows(query if before is None else query.where(deliveries.c.id < before))

    async def redeliver(self, delivery_id: str, now: datetime) -> None:
        """Restarts its retry schedule. Raises EventForgotten."""
        change = _again(now).where(deliveries.c.id == delivery_id, _is_known())
        if not await self._database.change(change):
            raise EventForgotten("What the event was about is deleted.")

    async def replay(
        self,
        webhook_id: str,
        states: Iterable[DeliveryState],
        since: datetime | None,
        until: datetime,
        now: datetime,
    ) -> int:
        """Send again deliveries created from `since` to `until` that ended in one of these states;
        returns how many."""
        column = deliveries.c
        goes = [
            column.webhook_id == webhook_id,
            column.state.in_(list(states)),
            column.ended_at < now,  # or deliveries that end meanwhile would be sent again
            _is_known(events.c.type != "ping"),
        ]
        after, count = lowest_id(DELIVERY, since or EPOCH), 0
        while True:
            page = (
                sa.select(column.id)
                .where(*goes, column.id >= after, column.id < lowest_id(DELIVERY, until))
                .order_by(column.id)
                .limit(AT_ONCE)
            )
            change = _again(now).where(column.id.in_(page), *goes).returning(column.id)
            ids = await self._database.write(partial(_ids, change))
            if not ids:
                return count
            after, count = max(ids), count + len(ids)

    async def delete_of(self, webhook_id: str) -> None:
        """Delete all deliveries of a deleted webhook."""
        some = (
            sa.select(deliveries.c.id)
            .where(deliveries.c.webhook_id == webhook_id)
            .order_by(deliveries.c.id)
            .limit(AT_ONCE)
        )

        mine = deliveries.c.webhook_id == webhook_id
        await self._until_none(lambda connection: delete_deliveries(connection, some, mine))

    async def _until_none(self, unit: Any) -> int:
        count = 0
        while changed := await self._database.write(unit):
            count += changed
        return count

    async def _rows(self, query: Any) -> list[DeliveryRow]:
        def unit(connection: sa.Connection) -> list[DeliveryRow]:
            rows = connection.execute(query).mappings().all()
            log: dict[str, list[Attempt]] = {row["id"]: [] for row in rows}
            of_these = sa.select(attempts).where(attempts.c.delivery_id.in_(list(log)))
            for each in connection.execute(of_these.order_by(attempts.c.number)).mappings():
                values = dict(each)
                log[values.pop("delivery_id")].append(Attempt(**values))
            return [DeliveryRow(**row, log=tuple(log[row["id"]])) for row in rows]

        return await self._database.read(unit)


def _ids(change: Any, connection: sa.Connection) -> list[str]:
    return list(connection.execute(change).scalars())


def delete_deliveries(
    connection: sa.Connection, ids: sa.Select[Any], *goes: sa.ColumnElement[bool]
) -> int:
    """Delete those of `ids` that satisfy `goes`, with their attempts, and events that have no other
    delivery; returns how many deliveries there were."""
    change = sa.delete(deliveries).where(deliveries.c.id.in_(ids), *goes)
    gone = connection.execute(change.returning(deliveries.c.id, deliveries.c.event)).all()
    if gone:
        of_these = attempts.c.delivery_id.in_([each.id for each in gone])
        connection.execute(sa.delete(attempts).where(of_these))
        others = sa.exists().where(deliveries.c.event == events.c.number)
        told = events.c.number.in_([each.event for each in gone])
        connection.execute(sa.delete(events).where(told, ~others))
    return len(gone)


def _again(now: datetime) -> sa.Update:
    return sa.update(deliveries).values(state="pending", tries=0, due_at=now, ended_at=None)


def _is_known(*conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return sa.exists().where(
        events.c.number == deliveries.c.event, events.c.body.is_not(None), *conditions
    )


def _due_of(row: Any) -> Due:
    body = None if row.body is None else numbered(row.body, row.number)
    return Due(
        row.id,
        row.event_id,
        row.type,
        row.created_at,
        row.url,
        body,
        row.attempts,
        row.tries,
        row.due_at,
    )


_ONE_DUE = sa.select(
    deliveries.c.id,
    deliveries.c.url,
    deliveries.c.attempts,
    deliveries.c.tries,
    deliveries.c.due_at,
    events.c.number,
    events.c.id.label("event_id"),
    events.c.type,
    events.c.body,
    events.c.created_at,
).join(events, events.c.number == deliveries.c.event)
_DUE = (
    _ONE_DUE.where(
        deliveries.c.webhook_id == sa.bindparam("webhook"),
        IS_PENDING,
        deliveries.c.due_at <= sa.bindparam("now"),
    )
    .order_by(deliveries.c.due_at)
    .limit(sa.bindparam("most"))
)


def _waiting() -> sa.Select[Any]:
    """Skips from one webhook to the next through the index of pending deliveries: webhooks without
    any cost nothing."""
    first = sa.select(sa.func.min(deliveries.c.webhook_id).label("id")).where(IS_PENDING)
    some = first.cte("waiting", recursive=True)
    behind = sa.select(sa.func.min(deliveries.c.webhook_id)).where(
        IS_PENDING, deliveries.c.webhook_id > some.c.id
    )
    some = some.union_all(sa.select(behind.scalar_subquery()).where(some.c.id.is_not(None)))
    of_it = (deliveries.c.webhook_id == some.c.id, IS_PENDING)
    count = sa.select(sa.func.count()).select_from(deliveries).where(*of_it).scalar_subquery()
    due_at = sa.select(sa.func.min(deliveries.c.due_at)).where(*of_it).scalar_subquery()
    return sa.select(some.c.id, count, due_at).where(some.c.id.is_not(None))


_WAITING = _waiting()
_ROWS = (
    sa.select(
        deliveries.c.id,
        deliveries.c.webhook_id,
        events.c.id.label("event_id"),
        events.c.type.label("event_type"),
        events.c.subject,
        deliveries.c.state,
        sa.func.coalesce(deliveries.c.url, webhooks.c.url).label("url"),
        events.c.created_at,
        deliveries.c.due_at,
        deliveries.c.ended_at,
    )
    .join(events, events.c.number == deliveries.c.event)
    .join(webhooks, webhooks.c.id == deliveries.c.webhook_id)
)
_MADE = (
    sa.update(deliveries)
    .where(
        deliveries.c.id == sa.bindparam("delivery"), deliveries.c.attempts == sa.bindparam("seen")
    )
    .returning(deliveries.c.webhook_id)
)
_COUNT = _MADE.values(attempts=sa.bindparam("made"))
_RECORD = _MADE.where(deliveries.c.due_at == sa.bindparam("was_due")).values(
    attempts=sa.bindparam("made"),
    tries=sa.bindparam("more_tries"),
    state=sa.bindparam("to"),
    due_at=sa.bindparam("again"),
    ended_at=sa.bindparam("ended"),
)
_LOG = sa.insert(attempts)
_FAILING = (
    sa.update(webhooks)
    .where(
        webhooks.c.id == sa.bindparam("webhook"),
        webhooks.c.changed_at == sa.bindparam("changed"),
    )
    .values(failing_since=sa.bindparam("since"))
)
