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
    version: int = Field(description="Of its `data`.", examples=[1])
    own: bool = Field(
        description="False: a package brought it, and programs tell it with `POST /events`.",
        examples=[True],
    )


class EventTypeList(BaseModel):
    """The service's own first."""

    event_types: list[EventTypeReport]


class NewEvent(BaseModel):
    """Something that a program has to tell."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    type: Annotated[str, Field(max_length=64, examples=["shop.stock_counted"])]
    domain: str | None = Field(
        None,
        description="Of the pictures that it has to do with; webhooks may want certain ones only.",
        examples=["flowers"],
    )
    caller: str | None = Field(
        None,
        max_length=64,
        description="Whose it is: their webhooks are told, and operators'. Unset: only operators'.",
        examples=["shop"],
    )
    data: dict[str, JsonValue] = Field(
        description="As the type has it: under `webhooks` in openapi.json of the running service.",
        examples=[{"shelf": "roses-3", "count": 12}],
    )


class PublishedEvent(BaseModel):
    """An event on its way."""

    id: str = Field(description="Its `webhook-id`.", examples=["evt_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])


@router.get("")
async def list_event_types(parts: InMemory, caller: Caller) -> EventTypeList:
    """What webhooks may be told of."""
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
    """Have webhooks told of it, as of what the service itself has to tell. It is stored when this
    is answered. Its type is one that a package brought."""
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
