"""What is sent to webhooks, for openapi.json: an operation of theirs for each type of event."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Body, Header
from pydantic import BaseModel, Field, create_model

from app.storage.events import EVENT_TYPES, Envelope

router = APIRouter(tags=["events"])
"""Of nobody's requests: FastAPI's `app.webhooks` takes it in."""

MessageId = Annotated[
    str,
    Header(
        alias="webhook-id",
        description="Of the event, the same over all attempts.",
        examples=["evt_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"],
    ),
]
Timestamp = Annotated[
    int,
    Header(
        alias="webhook-timestamp",
        description="Of this attempt, in Unix seconds.",
        examples=[1_767_323_045],
    ),
]
Signatures = Annotated[
    str,
    Header(
        alias="webhook-signature",
        description="One or more with spaces between them: docs/webhooks.md.",
        examples=["v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="],
    ),
]


def event_model(name: str) -> type[BaseModel]:
    """What is sent of an event of this type."""
    spec, kind = EVENT_TYPES[name], Literal[name]
    title = "".join(part.capitalize() for part in name.split("."))
    fields: dict[str, Any] = {"type": (kind, Field(examples=[name])), "data": (spec.data, ...)}
    return create_model(f"{title}Event", __base__=Envelope, __doc__=spec.about, **fields)


def event_example(name: str) -> dict[str, Any]:
    """An event of this type."""
    event = example(event_model(name))
    data, noun = event["data"], EVENT_TYPES[name].noun
    if noun == "batches":
        data["status"] = name.removeprefix("batch.").replace("progress", "running")
    subject = next(data[name] for name in ("id", "webhook_id", "budget") if name in data)
    return event | {"link": f"/{noun}/{subject}"}


def example(model: type[BaseModel]) -> dict[str, Any]:
    """From the examples of its fields."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        inner = _model_of(field.annotation)
        if field.examples:
            found[name] = field.examples[0]
        elif inner is not None:
            found[name] = example(inner)
        else:
            found[name] = field.get_default(call_default_factory=True)
    return found


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model in `Model` or `Model | None`."""
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


def _receives(name: str) -> Callable[..., Any]:
    async def receive(
        webhook_id: MessageId,
        webhook_timestamp: Timestamp,
        webhook_signature: Signatures,
        event: Any,
    ) -> None: ...

    body = Body(examples=[event_example(name)])
    receive.__annotations__["event"] = Annotated[event_model(name), body]
    return receive


for name, each in EVENT_TYPES.items():
    router.add_api_route(
        name,
        _receives(name),
        methods=["POST"],
        status_code=204,
        summary=name,
        description=f"{each.about} Any answer from 200 to 299 is taken for success.",
        operation_id=f"on_{name.replace('.', '_')}",
    )
