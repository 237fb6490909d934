"""`/events`: the types of events that webhooks can get, and events that other programs send."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.api.dependencies import Caller, IdempotencyKey, InMemory, Joined, Operator
from app.api.forms import validated
from app.api.raising import Raises
from app.errors import DomainNotFound
from app.storage.event_types import EVENT_TYPES

router = APIRouter(prefix="/events", tags=["events"])


class EventTypeReport(BaseModel):
    """A type of event."""

    type: str = Field(examples=["result.created"])
    about: str = Field(examples=["A picture is classified, or has failed for good."])
    version: int = Field(description="Version of the type's `data`.", examples=[1])
    own: bool = Field(
        description="False: the type comes from a package, and programs publish its events with "
        "`POST /events`.",
        examples=[True],
    )


class EventTypeList(BaseModel):
    """Types of events, the service's own first."""

    event_types: list[EventTypeReport]


class NewEvent(BaseModel):
    """An event that a program publishes."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    type: Annotated[str, Field(max_length=64, examples=["shop.stock_counted"])]
    domain: str | None = Field(
        None,
        description="Domain of the pictures concerned; webhooks may be limited to some domains.",
        examples=["flowers"],
    )
    caller: str | None = Field(
        None,
        max_length=64,
        description="Owner of the event: the owner's webhooks and operators' receive it. Unset: "
        "only operators'.",
        examples=["shop"],
    )
    data: dict[str, JsonValue] = Field(
        description="As the type defines it: under `webhooks` in openapi.json of the running "
        "service.",
        examples=[{"shelf": "roses-3", "count": 12}],
    )


class PublishedEvent(BaseModel):
    """An event that will be delivered."""

    id: str = Field(
        description="Its header `webhook-id`.", examples=["evt_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"]
    )


@router.get("")
async def list_event_types(parts: InMemory, caller: Caller) -> EventTypeList:
    """List the types of events that webhooks can receive."""
    return EventTypeList(
        event_types=[
            EventTypeReport(
                type=name, about=each.about, version=each.version, own=name in EVENT_TYPES
            )
            for name, each in parts.publisher.types.items()
        ]
    )


@router.post("", status_code=202)
@Raises(DomainNotFound)
async def publish(
    event: NewEvent, parts: Joined, operator: Operator, idempotency_key: IdempotencyKey = None
) -> PublishedEvent:
    """Publish an event to webhooks, like the service's own events. It is stored before the response
    is sent. Its type must be one that a package added."""
    kind = parts.publisher.find(event.type)
    told = await parts.publisher.publish(
        event.type,
        validated(kind.data, event.data, "body", "data"),
        domain=event.domain,
        caller=event.caller or "",
        publisher=operator.name,
        key=idempotency_key,
    )
    return PublishedEvent(id=told)
