"""The transactional outbox: events are written in the transaction of what they report. All SQL for
that is here."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports it, too

from app.identifiers import DELIVERY, EVENT, WEBHOOK, id_of, new_id
from app.storage.database import Database
from app.storage.event_types import EVENT_TYPES, EventType
from app.storage.events import Event, body_of
from app.storage.tables import deliveries, events, webhooks

DeliveryState = Literal["pending", "delivered", "failed", "missed"]


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who subscribes to what; empty sets mean all.

    Attributes:
        enabled: if not, deliveries are stored as missed.
    """

    webhook_id: str
    caller: str
    event_types: frozenset[str]
    domains: frozenset[str]
    enabled: bool

    def covers(self, event_type: str, domain: str | None) -> bool:
        return (not self.event_types or event_type in self.event_types) and (
            not self.domains or domain is None or domain in self.domains
        )


MAX_FOUND = 10_000


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """As they were read at one time.

    Attributes:
        found: cached matches, by type, caller and domain.
    """

    all: tuple[Subscription, ...]
    found: dict[tuple[str, str, str | None], tuple[Subscription, ...]] = field(default_factory=dict)


class Outbox:
    """Knows all subscriptions, and writes nothing without a subscriber."""

    def __init__(
        self,
        database: Database,
        operators: Iterable[str] | None,
        *,
        types: Mapping[str, EventType] = EVENT_TYPES,
        shared: bool = False,
    ) -> None:
        """`operators`: callers who receive everyone's events; None: all callers do. `types`: known
        event types. `shared`: other processes change webhooks, too."""
        self.types = types
        self._shared = shared
        self._database = database
        self._operators = None if operators is None else frozenset(operators)
        self._known = Subscriptions(())
        self._wake: Callable[[Iterable[str]], None] = lambda _: None
        self._loading = asyncio.Lock()

    def on_told(self, wake: Callable[[Iterable[str]], None]) -> None:
        """`wake` will be called with the ids of webhooks that have new deliveries."""
        self._wake = wake

    async def load(self) -> None:
        """Read the subscriptions from the database: at startup, and after every change."""
        column = webhooks.c
        query = sa.select(
            column.id, column.caller, column.event_types, column.domains, column.status
        ).where(column.kind == "endpoint")

        def unit(connection: sa.Connection) -> tuple[Subscription, ...]:
            return tuple(
                Subscription(
                    row.id,
                    row.caller,
                    frozenset(row.event_types),
                    frozenset(row.domains),
                    # Another process may just have enabled it; the sender checks again.
                    self._shared or row.status == "enabled",
                )
                for row in connection.execute(query)
            )

        # One at a time, or an older read could overwrite a newer one.
        async with self._loading:
            found = await self._database.read(unit)
            if found != self._known.all:
                self._known = Subscriptions(found)

    def subscribed(
        self, event_type: str, caller: str, domain: str | None
    ) -> tuple[Subscription, ...]:
        # Called in a database thread, while `load` may replace it.
        known = self._known
        key = (event_type, caller, domain)
        found = known.found.get(key)
        if found is None:
            found = tuple(
                each
                for each in known.all
                if each.covers(event_type, domain) and self._hears(each.caller, caller)
            )
            if len(known.found) < MAX_FOUND:
                known.found[key] = found
        return found

    async def use_callback(self, caller: str, url: str) -> None:
        """Create the webhook for a callback in advance, or record that it is in use. In a
        transaction of its own: those that publish events are too long to block each other on such
        rows."""
        row = _callback_row(caller, url)
        await self._database.change(_USE_CALLBACK, row)

    def telling(self) -> "Telling":
        """For one transaction."""
        return Telling(self, self._wake)

    def _hears(self, listener: str, caller: str) -> bool:
        return listener == caller or self._operators is None or listener in self._operators


class Telling:
    """The events of one transaction."""

    def __init__(self, outbox: Outbox, wake: Callable[[Iterable[str]], None]) -> None:
        self._outbox = outbox
        self._wake = wake
        self._told: set[str] = set()

    def wants(self, event_type: str, caller: str, domain: str | None) -> bool:
        """Whether anybody subscribed."""
        return bool(self._outbox.subscribed(event_type, caller, domain))

    def tell(self, connection: sa.Connection, *happened: Event) -> None:
        """Within the transaction."""
        heard = [(each, self._listeners(each)) for each in happened]
        wanted = [(each, listeners) for each, listeners in heard if listeners]
        if not wanted:
            return
        for event, _ in wanted:
            if event.callback_url is not None:
                connection.execute(_ADD_CALLBACK, _callback_row(event.caller, event.callback_url))
        self.tell_to(connection, wanted)

    def tell_to(
        self, connection: sa.Connection, told: Sequence[tuple[Event, Sequence["Listener"]]]
    ) -> list[str]:
        """Create deliveries to these listeners, whatever they subscribed to; returns the
        deliveries' ids."""
        now = datetime.now(UTC)
        rows = [
            {
                "id": event.id or new_id(EVENT),
                "type": event.type,
                "subject": event.subject,
                "body": body_of(event, self._outbox.types[event.type], now),
                "created_at": now,
            }
            for event, _ in told
        ]
        numbers = connection.execute(_ADD_EVENTS, rows).scalars().all()
        to_deliver = [
            {
                "id": new_id(DELIVERY),
                "webhook_id": each.webhook_id,
                "caller": each.caller,
                "event": number,
                "url": each.url,
                "state": each.state,
                "due_at": each.due_at or now,
                "ended_at": None if each.state == "pending" else now,
            }
            for number, (_, listeners) in zip(numbers, told, strict=True)
            for each in listeners
        ]
        connection.execute(_ADD_DELIVERIES, to_deliver)
        self._told |= {each["webhook_id"] for each in to_deliver if each["state"] == "pending"}
        return [each["id"] for each in to_deliver]

    def wake(self) -> None:
        """To be called once the transaction is committed."""
        if self._told:
            self._wake(self._told)

    def _listeners(self, event: Event) -> "list[Listener]":
        found = [
            Listener(each.webhook_id, each.caller, state="pending" if each.enabled else "missed")
            for each in self._outbox.subscribed(event.type, event.caller, event.domain)
            if each.webhook_id != event.subject  # a webhook gets no events about itself
        ]
        if event.callback_url is not None:
            webhook_id = callback_id(event.caller, origin(event.callback_url))
            found.append(Listener(webhook_id, event.caller, url=event.callback_url))
        return found


@dataclass(frozen=True, slots=True)
class Listener:
    """
    Attributes:
        url: None: the webhook's own.
        due_at: None: now.
    """

    webhook_id: str
    caller: str
    url: str | None = None
    state: DeliveryState = "pending"
    due_at: datetime | None = None


def forget_events(connection: sa.Connection, subjects: Sequence[str]) -> None:
    """Removes the bodies of events about deleted subjects; the record of their delivery stays."""
    about = events.c.subject.in_(list(subjects))
    connection.execute(sa.update(events).where(about).values(body=None))


def origin(url: str) -> str:
    """`https://shop.example.com`: callbacks that share it fail or hang together."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def callback_id(caller: str, place: str) -> str:
    """Id of the webhook for all callbacks of a caller to one origin: always the same."""
    digest = sha256(f"{caller}\n{place}".encode()).digest()
    return id_of(WEBHOOK, digest)


def _callback_row(caller: str, url: str) -> dict[str, Any]:
    now, place = datetime.now(UTC), origin(url)
    return {
        "id": callback_id(caller, place),
        "kind": "callback",
        "caller": caller,
        "url": place,
        "event_types": [],
        "domains": [],
        "status": "enabled",
        "created_at": now,
        "changed_at": now,
    }


_CALLBACK = insert(webhooks)
_ADD_CALLBACK = _CALLBACK.on_conflict_do_nothing()
"""It exists already, except for pictures accepted before an upgrade or long ago."""
_USE_CALLBACK = _CALLBACK.on_conflict_do_update(
    index_elements=[webhooks.c.id], set_={"changed_at": _CALLBACK.excluded.changed_at}
)
_ADD_EVENTS = sa.insert(events).returning(events.c.number, sort_by_parameter_order=True)
_ADD_DELIVERIES = sa.insert(deliveries)
