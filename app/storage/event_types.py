"""The list of event types: built-in ones, and those that installed packages add.

A package provides an EventType as an entry point in the group `classifier.events`, named like the
type.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError

from app.budget import Action, Period
from app.errors import ConfigurationError, said
from app.plug_ins import plug_ins
from app.result import Result, UsdAmount
from app.storage.batch_report import BatchReport

GROUP = "classifier.events"

NAME = re.compile(r"(?P<namespace>[a-z][a-z0-9_]*)(\.[a-z][a-z0-9_]*)+")
MAX_NAME = 64


class Ping(BaseModel):
    """A test of the connection, without further content."""

    webhook_id: str = Field(examples=["whk_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])


class EndpointDisabled(BaseModel):
    """A webhook was disabled: nothing is sent to it until it is enabled again."""

    webhook_id: str = Field(examples=["whk_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])
    url: str = Field(examples=["https://shop.example.com/hooks"])
    reason: str = Field(examples=["Nothing but failures for 5 days."])
    disabled_at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])


class BudgetThreshold(BaseModel):
    """A share of a budget is spent. Sent once in each period for each threshold."""

    budget: str = Field(examples=["shop-per-month"])
    domain: str | None = Field(examples=[None])
    caller: str | None = Field(examples=["shop"])
    batch_id: str | None = Field(examples=[None])
    period: Period = Field(examples=["month"])
    action: Action = Field(
        description="What happens when the budget is spent: `alert`, `degrade` or `block`.",
        examples=["block"],
    )
    percent: int = Field(
        description="50, 80 or 100; also 100 if what is left is too little for a call.",
        examples=[80],
    )
    amount_usd: UsdAmount = Field(examples=[50.0])
    spent_usd: UsdAmount = Field(examples=[40.01])
    starts_at: datetime | None = Field(examples=["2026-01-01T00:00:00Z"])
    resets_at: datetime | None = Field(examples=["2026-02-01T00:00:00Z"])


class AlertReport(BaseModel):
    """One time that an alert rule was broken."""

    id: str = Field(examples=["alr_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])
    rule: str = Field(description="Name of the rule in config/alerts.yaml.", examples=["accuracy"])
    subject: str = Field(
        description="What it is about: a domain, a deployment, a check, a webhook's id, or empty "
        "if there is only one subject.",
        examples=["flowers"],
    )
    domain: str | None = Field(examples=["flowers"])
    signal: str = Field(description="What the rule watches.", examples=["accuracy"])
    state: Literal["pending", "firing", "resolved"] = Field(
        description="`pending`: the rule is broken, but not yet for long enough.",
        examples=["firing"],
    )
    severity: Literal["info", "warning", "critical"] = Field(examples=["critical"])
    value: float = Field(description="The last reading.", examples=[0.71])
    threshold: float = Field(examples=[0.8])
    since: datetime = Field(
        description="When the rule was first broken.", examples=["2026-01-02T03:04:05.678Z"]
    )
    fired_at: datetime | None = Field(examples=["2026-01-02T03:04:05.678Z"])
    resolved_at: datetime | None = Field(examples=[None])
    reason: Literal["no_data", "rule_removed"] | None = Field(
        description="Why it resolved, if no reading was right again.", examples=[None]
    )
    description: str = Field(examples=["Too few answers are right."])
    runbook: str = Field(
        description="What to do: a heading of docs/monitoring.md, or a URL.",
        examples=["docs/monitoring.md#accuracy"],
    )


@dataclass(frozen=True, slots=True)
class EventType:
    """
    Attributes:
        about: when it is sent, in a sentence.
        data: model of the event's `data`; each field has a default or an example.
        noun: what the event is about, as in the paths of the API; empty: it has no path there.
        subject: the field of `data` with the id of what it is about.
        version: increases when a change of `data` could break consumers; adding fields does not
            count.
    """

    about: str
    data: type[BaseModel]
    noun: str = ""
    subject: str = "id"
    version: int = 1

    def link(self, subject: str) -> str:
        return f"/{self.noun}/{subject}" if self.noun else ""


EVENT_TYPES: Mapping[str, EventType] = {
    "result.created": EventType(
        "A picture is classified, or has failed for good.", Result, "results"
    ),
    "result.reviewed": EventType(
        "A person decided what a picture shows, or undid that decision.", Result, "results"
    ),
    "batch.progress": EventType(
        "A batch has made progress; sent every five seconds at most.", BatchReport, "batches"
    ),
    "batch.completed": EventType("A batch has a result for every item.", BatchReport, "batches"),
    "batch.paused": EventType("A batch is paused.", BatchReport, "batches"),
    "batch.failed": EventType("A batch ended early; `reason` says why.", BatchReport, "batches"),
    "batch.cancelled": EventType("A batch was cancelled.", BatchReport, "batches"),
    "endpoint.disabled": EventType(
        "A webhook keeps failing and is disabled.", EndpointDisabled, "webhooks", "webhook_id"
    ),
    "budget.threshold": EventType(
        "50, 80 or 100 % of a budget is spent.", BudgetThreshold, "budgets", "budget"
    ),
    "alert.fired": EventType("An alert begins to fire; sent to operators.", AlertReport, "alerts"),
    "alert.resolved": EventType(
        "An alert that has fired is over; sent to operators.", AlertReport, "alerts"
    ),
    "ping": EventType("A test, sent on request.", Ping, "webhooks", "webhook_id"),
}


def event_types() -> Mapping[str, EventType]:
    """By name: built-in types, and those of installed packages. Raises ConfigurationError."""
    found = dict(EVENT_TYPES)
    for name, each in plug_ins(GROUP).items():
        try:
            kind = each.load()
        except Exception as error:
            raise ConfigurationError(f"The event {name} can't be used: {error}") from error
        if complaint := next(_complaints(name, kind), None):
            raise ConfigurationError(f"The event {name} can't be used: {complaint}")
        found[name] = kind
    return found


def _complaints(name: str, kind: object) -> Iterator[str]:
    if not isinstance(kind, EventType):
        yield "it is no EventType"
        return
    named = NAME.fullmatch(name)
    if named is None or len(name) > MAX_NAME:
        yield f"its name has to be like shop.stock_counted, of {MAX_NAME} characters at most"
    elif named["namespace"] in {each.partition(".")[0] for each in EVENT_TYPES}:
        yield f"{named['namespace']} is a namespace of the service's own"
    if kind.subject not in kind.data.model_fields:
        yield f"{kind.data.__name__} has no {kind.subject}, which would say what it is about"
    try:
        kind.data.model_validate(example(kind.data))
    except ValidationError as error:
        first = error.errors()[0]
        wrong = f"{first['loc'][0]}: {said(first['msg'])}"
        yield f"the examples of {kind.data.__name__} are wrong: {wrong}"


def example(model: type[BaseModel]) -> dict[str, Any]:
    """Built from the examples of the model's fields."""
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
