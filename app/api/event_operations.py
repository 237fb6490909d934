"""Describes in openapi.json what webhooks are sent: one operation for each type of event."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Header
from pydantic import BaseModel, Field, create_model

from app.storage.event_types import EventType, example
from app.storage.events import Envelope

MessageId = Annotated[
    str,
    Header(
        alias="webhook-id",
        description="Id of the event, the same for all attempts.",
        examples=["evt_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"],
    ),
]
Timestamp = Annotated[
    int,
    Header(
        alias="webhook-timestamp",
        description="Time of this attempt, in Unix seconds.",
        examples=[1_767_323_045],
    ),
]
Signatures = Annotated[
    str,
    Header(
        alias="webhook-signature",
        description="One or more signatures, separated by spaces: docs/webhooks.md.",
        examples=["v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="],
    ),
]


def operations(types: Mapping[str, EventType]) -> APIRouter:
    """A router that serves no requests: it is included in FastAPI's `app.webhooks`."""
    router = APIRouter(tags=["events"])
    for name, kind in types.items():
        router.add_api_route(
            name,
            _receives(name, kind),
            methods=["POST"],
            status_code=204,
            summary=name,
            description=f"{kind.about} Any status from 200 to 299 counts as success.",
            operation_id=f"on_{name.replace('.', '_')}",
        )
    return router


def event_model(name: str, kind: EventType) -> type[BaseModel]:
    """The model of what is sent for an event of this type."""
    title = "".join(part.capitalize() for part in re.split("[._]", name))
    fields: dict[str, Any] = {
        "type": (Literal[name], Field(examples=[name])),
        "data": (kind.data, ...),
    }
    return create_model(f"{title}Event", __base__=Envelope, __doc__=kind.about, **fields)


def event_example(name: str, kind: EventType) -> dict[str, Any]:
    """An example of an event of this type."""
    event = example(event_model(name, kind))
    data = event["data"]
    if kind.noun == "batches":
        data["status"] = name.removeprefix("batch.").replace("progress", "running")
    return event | {"link": kind.link(data[kind.subject])}


def _receives(name: str, kind: EventType) -> Callable[..., Any]:
    async def receive(
        webhook_id: MessageId,
        webhook_timestamp: Timestamp,
        webhook_signature: Signatures,
        event: Any,
    ) -> None: ...

    body = Body(examples=[event_example(name, kind)])
    receive.__annotations__["event"] = Annotated[event_model(name, kind), body]
    return receive
