"""`/deliveries`: what was sent to webhooks and callbacks, attempt by attempt."""

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from app.api.dependencies import Caller, Joined
from app.api.paging import Limit, NextCursor, cut, page_cursor
from app.api.raising import Raises
from app.errors import DeliveryNotFound, EventForgotten, WebhookDisabled
from app.identifiers import DELIVERY_PATTERN, WEBHOOK_PATTERN
from app.parts import Parts
from app.storage.delivery_rows import Attempt, DeliveryFilter, DeliveryRow

router = APIRouter(prefix="/deliveries", tags=["webhooks"])


State = Literal["pending", "delivered", "failed", "missed"]
DeliveryId = Annotated[
    str,
    Path(pattern=DELIVERY_PATTERN, examples=["dlv_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"]),
    Raises(DeliveryNotFound),
]


class AttemptReport(BaseModel):
    """One attempt to deliver an event."""

    number: int = Field(examples=[1])
    at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])
    duration_ms: float = Field(examples=[12.5])
    status: int | None = Field(
        description="HTTP status of the response; null: there was none.", examples=[204]
    )
    error: str | None = Field(
        description="Why there was no response: `refused` (by the policy for URLs), `lookup`, "
        "`connect`, `certificate`, `tls`, `timeout`, `protocol`, `broken` or `unusable`.",
        examples=[None],
    )
    answer: str | None = Field(
        description="Beginning of the response, or details of the error; at most 2 kB.",
        examples=[None],
    )

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        return cls(**{name: getattr(attempt, name) for name in cls.model_fields})


class DeliveryReport(BaseModel):
    """The delivery of an event to a webhook, and every attempt."""

    id: str = Field(examples=["dlv_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])
    webhook_id: str = Field(examples=["whk_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])
    event_id: str = Field(
        description="The header `webhook-id`: the same in all attempts, and for all webhooks.",
        examples=["evt_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"],
    )
    event_type: str = Field(examples=["result.created"])
    subject: str = Field(
        description="What the event is about.", examples=["cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"]
    )
    url: str = Field(examples=["https://shop.example.com/hooks"])
    state: State = Field(
        description="`failed`: given up after the last attempt, or what the event is about was "
        "deleted; `missed`: the webhook was disabled.",
        examples=["delivered"],
    )
    next_attempt_at: datetime | None = Field(examples=[None])
    created_at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])
    ended_at: datetime | None = Field(examples=["2026-01-02T03:04:05.691Z"])
    attempts: list[AttemptReport]

    @classmethod
    def of(cls, row: DeliveryRow) -> Self:
        same = cls.model_fields.keys() - {"next_attempt_at", "attempts"}
        return cls(
            **{name: getattr(row, name) for name in same},
            next_attempt_at=row.due_at if row.state == "pending" else None,
            attempts=[AttemptReport.of(each) for each in row.log],
        )


class DeliveryPage(BaseModel):
    """Deliveries, the newest first."""

    deliveries: list[DeliveryReport]
    next_cursor: NextCursor


class DeliveryQuery(BaseModel):
    """Which deliveries, and where a page begins."""

    model_config = ConfigDict(extra="forbid")
    state: State | None = None
    subject: str | None = Field(
        None,
        max_length=40,
        description="Id of the result, batch or webhook that the events are about.",
    )
    cursor: str | None = page_cursor(DELIVERY_PATTERN)
    limit: Limit = 100


class AnyDeliveryQuery(DeliveryQuery):
    """Of all webhooks and callbacks."""

    webhook_id: str | None = Field(None, pattern=WEBHOOK_PATTERN)


@router.get("")
async def list_all_deliveries(
    query: Annotated[AnyDeliveryQuery, Query()], parts: Joined, caller: Caller
) -> DeliveryPage:
    """List deliveries to all webhooks and `callback_url`s, the newest first."""
    wanted = DeliveryFilter(caller.sees, query.webhook_id, query.subject, query.state)
    return await page_of(parts, wanted, query)


@router.get("/{delivery_id}")
async def get_delivery(delivery_id: DeliveryId, parts: Joined, caller: Caller) -> DeliveryReport:
    """Get one delivery, with every attempt."""
    return DeliveryReport.of(await parts.delivery_rows.get(delivery_id, caller=caller.sees))


@router.post("/{delivery_id}/redeliver", status_code=202)
@Raises(EventForgotten, WebhookDisabled)
async def redeliver(delivery_id: DeliveryId, parts: Joined, caller: Caller) -> DeliveryReport:
    """Send the event again now, whatever the delivery's state; if that fails, retry by the schedule
    from its start."""
    return DeliveryReport.of(await parts.deliveries.redeliver(delivery_id, caller=caller.sees))


async def page_of(parts: Parts, wanted: DeliveryFilter, query: DeliveryQuery) -> DeliveryPage:
    found = await parts.delivery_rows.page(wanted, before=query.cursor, limit=query.limit + 1)
    page, last = cut(found, query.limit)
    return DeliveryPage(
        deliveries=[DeliveryReport.of(each) for each in page], next_cursor=last.id if last else None
    )
