"""What others can be told: the one list of event types, and how an event is written."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.budget import EPOCH, Action, Budget, Period
from app.result import Result, UsdAmount
from app.storage.batch_report import BatchReport
from app.storage.batch_rows import BatchRow

MAX_BODY = 20_000
"""Bytes of an event, as Standard Webhooks recommends; what does not fit is behind its `link`."""

DISPENSABLE = ("metadata", "probabilities")
"""Fields of a result that may be long, the first to go first."""


class Ping(BaseModel):
    """Nothing but that the way is open."""

    webhook_id: str = Field(examples=["whk_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])


class EndpointDisabled(BaseModel):
    """To this webhook nothing is sent any more, until it is enabled again."""

    webhook_id: str = Field(examples=["whk_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])
    url: str = Field(examples=["https://shop.example.com/hooks"])
    reason: str = Field(examples=["Nothing but failures for 5 days."])
    disabled_at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])


class BudgetThreshold(BaseModel):
    """So much of a budget is spent. Told once in each period for each threshold."""

    budget: str = Field(examples=["shop-per-month"])
    domain: str | None = Field(examples=[None])
    caller: str | None = Field(examples=["shop"])
    batch_id: str | None = Field(examples=[None])
    period: Period = Field(examples=["month"])
    action: Action = Field(
        description="What is done when it is spent: `alert`, `degrade` or `block`.",
        examples=["block"],
    )
    percent: int = Field(
        description="50, 80 or 100; 100 also when what is left is too little for a call.",
        examples=[80],
    )
    amount_usd: UsdAmount = Field(examples=[50.0])
    spent_usd: UsdAmount = Field(examples=[40.01])
    starts_at: datetime | None = Field(examples=["2026-01-01T00:00:00Z"])
    resets_at: datetime | None = Field(examples=["2026-02-01T00:00:00Z"])


class AlertReport(BaseModel):
    """One time that an alert rule was broken."""

    id: str = Field(examples=["alr_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])
    rule: str = Field(description="Its name in config/alerts.yaml.", examples=["accuracy"])
    subject: str = Field(
        description="What it is about: a domain, a deployment, a check, a webhook's id, or empty "
        "where there is only one.",
        examples=["flowers"],
    )
    domain: str | None = Field(examples=["flowers"])
    signal: str = Field(description="What is looked at.", examples=["accuracy"])
    state: Literal["pending", "firing", "resolved"] = Field(
        description="`pending`: broken, but not for long enough yet.", examples=["firing"]
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
        description="Why it resolved, where no reading was right again.", examples=[None]
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
        data: what the event's `data` holds.
        noun: of what it is about, as in the paths of the API.
        version: counts up when a change of `data` could break who reads it; fields that are added
            do not.
    """

    about: str
    data: type[BaseModel]
    noun: str
    version: int = 1


EVENT_TYPES: Mapping[str, EventType] = {
    "result.created": EventType(
        "A picture is classified, or has failed for good.", Result, "results"
    ),
    "result.reviewed": EventType(
        "A person decided what a picture shows, or took that back.", Result, "results"
    ),
    "batch.progress": EventType(
        "A batch has got further; told every five seconds at most.", BatchReport, "batches"
    ),
    "batch.completed": EventType("A batch has a result for every item.", BatchReport, "batches"),
    "batch.paused": EventType("A batch is paused.", BatchReport, "batches"),
    "batch.failed": EventType("A batch ended early; `reason` says why.", BatchReport, "batches"),
    "batch.cancelled": EventType("A batch was cancelled.", BatchReport, "batches"),
    "endpoint.disabled": EventType(
        "A webhook fails, and is left alone.", EndpointDisabled, "webhooks"
    ),
    "budget.threshold": EventType(
        "50, 80 or 100 % of a budget are spent.", BudgetThreshold, "budgets"
    ),
    "alert.fired": EventType("Something is wrong; told to operators.", AlertReport, "alerts"),
    "alert.resolved": EventType(
        "An alert that has fired is over; told to operators.", AlertReport, "alerts"
    ),
    "ping": EventType("A test, when it is asked for.", Ping, "webhooks"),
}


class Envelope(BaseModel):
    """Of every event."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(examples=["result.created"])
    version: int = Field(description="Of this type's `data`.", examples=[1])
    timestamp: datetime = Field(
        description="When it happened; each attempt has its own in `webhook-timestamp`.",
        examples=["2026-01-02T03:04:05.678Z"],
    )
    data: BaseModel
    link: str = Field(
        description="Path of what it is about, at this service.",
        examples=["/results/cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"],
    )
    omitted: list[str] = Field(
        default=[],
        description=f"Fields of `data` that made it larger than {MAX_BODY:,} bytes; `link` has "
        "them.",
        examples=[[]],
    )
    sequence: int = Field(
        description="Larger for what happened later; there are gaps. Events may arrive in any "
        "order.",
        examples=[4711],
    )


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        caller: whose it is; operators are told of everybody's.
        domain: None: it has nothing to do with one.
        subject: the id of what it is about.
        data: gives what the event says; only asked when somebody is to be told.
        callback_url: to whom it is told besides those who subscribed.
    """

    type: str
    caller: str
    domain: str | None
    subject: str
    data: Callable[[], BaseModel]
    callback_url: str | None = None

    @property
    def link(self) -> str:
        return f"/{EVENT_TYPES[self.type].noun}/{self.subject}"


def result_created(result: Result, callback_url: str | None = None) -> Event:
    return Event(
        "result.created",
        result.caller,
        result.domain,
        result.id,
        lambda: result,
        callback_url,
    )


def result_reviewed(result: Result) -> Event:
    return Event("result.reviewed", result.caller, result.domain, result.id, lambda: result)


def batch_changed(batch: BatchRow) -> Event:
    """That it is in the status it is in now."""
    return _of_batch(f"batch.{batch.status}", batch, batch.callback_url)


def batch_progress(batch: BatchRow) -> Event:
    return _of_batch("batch.progress", batch)


def _of_batch(kind: str, batch: BatchRow, callback_url: str | None = None) -> Event:
    return Event(
        kind,
        batch.caller,
        batch.domain,
        batch.id,
        lambda: BatchReport.of(batch),
        callback_url,
    )


def endpoint_disabled(caller: str, data: EndpointDisabled) -> Event:
    return Event("endpoint.disabled", caller, None, data.webhook_id, lambda: data)


def budget_threshold(budget: Budget, starts_at: datetime, spent: Decimal, percent: int) -> Event:
    """Told to the caller whose it is, and to operators."""
    data = BudgetThreshold(
        budget=budget.name,
        domain=budget.domain,
        caller=budget.caller,
        batch_id=budget.batch_id,
        period=budget.period,
        action=budget.action,
        percent=percent,
        amount_usd=budget.amount_usd,
        spent_usd=spent,
        starts_at=starts_at if starts_at > EPOCH else None,
        resets_at=budget.resets_at(starts_at),
    )
    return Event("budget.threshold", budget.caller or "", budget.domain, budget.name, lambda: data)


def alert_changed(alert: AlertReport) -> Event:
    """That it is in the state it is in now. It is no caller's: only operators hear of it."""
    kind = "alert.resolved" if alert.state == "resolved" else "alert.fired"
    return Event(kind, "", alert.domain, alert.id, lambda: alert)


def ping(caller: str, webhook_id: str) -> Event:
    return Event("ping", caller, None, webhook_id, lambda: Ping(webhook_id=webhook_id))


def body_of(event: Event, at: datetime) -> str:
    """As it is kept: all of it but its `sequence`, which the database knows."""
    data = event.data()
    text = data.model_dump_json()
    omitted: list[str] = []
    told: dict[str, Any] = {}
    for name in DISPENSABLE:
        if len(text.encode()) <= MAX_BODY - MARGIN:
            break
        told = told or data.model_dump(mode="json")
        if told.get(name) is not None:
            told[name] = None
            omitted.append(name)
            text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    head = (
        f'{{"type":"{event.type}","version":{EVENT_TYPES[event.type].version},'
        f'"timestamp":"{rfc3339(at)}","data":{text},"link":"{event.link}"'
    )
    return head + (f',"omitted":{json.dumps(omitted)}}}' if omitted else "}")


MARGIN = 500
"""Bytes of an event around its data."""


def numbered(body: str, sequence: int) -> bytes:
    """As it is sent."""
    return f'{body[:-1]},"sequence":{sequence}}}'.encode()


def rfc3339(moment: datetime) -> str:
    """`2026-01-02T03:04:05.678Z`"""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
