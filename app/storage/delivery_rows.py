"""What is known of a delivery, and of each attempt at it."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.storage.outbox import DeliveryState
from app.storage.tables import deliveries, events


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be sent now.

    Attributes:
        url: None: the webhook's own.
        body: None: what it was about is deleted.
        attempts: made so far.
        tries: of those, since it was created or last sent anew by hand.
        due_at: since when it waits.
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
        status: of the answer; None: there was none, and `error` is the kind of failure.
        answer: how it began, cleaned.
    """

    number: int
    at: datetime
    duration_ms: float
    status: int | None = None
    error: str | None = None
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Attempted:
    """An attempt, and what it makes of the delivery: `due_at` is when it is tried again."""

    delivery: Due
    attempt: Attempt
    state: DeliveryState
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """
    Attributes:
        count: deliveries that are pending.
        due_at: of the first of them.
    """

    webhook_id: str
    count: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Failing:
    """
    Attributes:
        since: None: the webhook fails no more.
        changed_at: of the webhook that was sent to; one that was changed since is another.
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
    """Which deliveries; None means all."""

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
