"""Rows of a delivery, and of each attempt at it."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.storage.outbox import DeliveryState
from app.storage.tables import deliveries, events


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery to be sent now.

    Attributes:
        url: None: the webhook's own.
        body: None: the subject of the event was deleted.
        attempts: made so far.
        tries: attempts since it was created or last sent anew by hand.
        due_at: since when it has been waiting.
    """

    id: str
    event_id: str
    event_type: str
    created_at: datetime
    url: str | None
    body: bytes | None
    attempts: int
    tries: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    Attributes:
        status: HTTP status of the answer; None: there was no answer, and `error` is the kind of
            failure.
        answer: its beginning, sanitized.
    """

    number: int
    at: datetime
    duration_ms: float
    status: int | None = None
    error: str | None = None
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Attempted:
    """An attempt, and the delivery's resulting state: `due_at` is when it is retried."""

    delivery: Due
    attempt: Attempt
    state: DeliveryState
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """
    Attributes:
        count: pending deliveries.
        due_at: of the first of them.
    """

    webhook_id: str
    count: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Failing:
    """
    Attributes:
        since: None: the webhook no longer fails.
        changed_at: of the webhook as it was used; one changed since then is not updated.
    """

    since: datetime | None
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as it stands.

    Attributes:
        subject: the id of what the event is about.
        due_at: of a pending one, when it is tried next.
    """

    id: str
    webhook_id: str
    event_id: str
    event_type: str
    subject: str
    state: DeliveryState
    url: str
    created_at: datetime
    due_at: datetime
    ended_at: datetime | None
    log: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries to select; None means all."""

    caller: str | None = None
    webhook_id: str | None = None
    subject: str | None = None
    state: DeliveryState | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        wanted = (
            (deliveries.c.caller, self.caller),
            (deliveries.c.webhook_id, self.webhook_id),
            (events.c.subject, self.subject),
            (deliveries.c.state, self.state),
        )
        return [column == value for column, value in wanted if value is not None]
