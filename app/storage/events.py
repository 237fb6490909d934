"""Events: from what happened to the JSON that is sent."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.budget import Budget
from app.moment import EPOCH
from app.result import Result
from app.storage.batch_report import BatchReport
from app.storage.batch_rows import BatchRow
from app.storage.event_types import AlertReport, BudgetThreshold, EndpointDisabled, EventType, Ping

MAX_BODY = 20_000
"""Bytes of an event, as Standard Webhooks recommends; anything longer is available at its
`link`."""

MAX_DATA = MAX_BODY - 500
"""Bytes of its `data`: the rest is for the envelope."""

DISPENSABLE = ("metadata", "probabilities")
"""Result fields that may be long, in the order in which they are omitted."""


class Envelope(BaseModel):
    """Of every event."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(examples=["result.created"])
    version: int = Field(description="Version of this type's `data`.", examples=[1])
    timestamp: datetime = Field(
        description="When it happened; each attempt has its own in `webhook-timestamp`.",
        examples=["2026-01-02T03:04:05.678Z"],
    )
    data: BaseModel
    link: str = Field(
        description="Path of what the event is about, at this service; empty if it has none.",
        examples=["/results/cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"],
    )
    omitted: list[str] = Field(
        default=[],
        description=f"Fields of `data` that are null because the event would exceed {MAX_BODY:,} "
        "bytes; `link` has them.",
        examples=[[]],
    )
    sequence: int = Field(
        description="Larger for what happened later, with gaps. Events may arrive in any order.",
        examples=[4711],
    )


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        caller: its owner; operators receive everyone's events.
        domain: None: it concerns no domain.
        subject: the id of what it is about.
        data: returns the event's data; only called if there is a recipient.
        callback_url: a recipient besides the subscribers.
        id: None: it is assigned when the event is published.
    """

    type: str
    caller: str
    domain: str | None
    subject: str
    data: Callable[[], BaseModel]
    callback_url: str | None = None
    id: str | None = None


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


def batch_changed(batch: BatchRow, now: datetime) -> Event:
    """The batch has reached its current status."""
    return _of_batch(f"batch.{batch.status}", batch, now, batch.callback_url)


def batch_progress(batch: BatchRow, now: datetime) -> Event:
    return _of_batch("batch.progress", batch, now)


def _of_batch(kind: str, batch: BatchRow, now: datetime, callback_url: str | None = None) -> Event:
    return Event(
        kind,
        batch.caller,
        batch.domain,
        batch.id,
        lambda: BatchReport.of(batch, now),
        callback_url,
    )


def endpoint_disabled(caller: str, data: EndpointDisabled) -> Event:
    return Event("endpoint.disabled", caller, None, data.webhook_id, lambda: data)


def budget_threshold(budget: Budget, starts_at: datetime, spent: Decimal, percent: int) -> Event:
    """Sent to the budget's caller, and to operators."""
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
    """The alert has reached its current state. It belongs to no caller: only operators receive
    it."""
    kind = "alert.resolved" if alert.state == "resolved" else "alert.fired"
    return Event(kind, "", alert.domain, alert.id, lambda: alert)


def ping(caller: str, webhook_id: str) -> Event:
    return Event("ping", caller, None, webhook_id, lambda: Ping(webhook_id=webhook_id))


def body_of(event: Event, kind: EventType, at: datetime) -> str:
    """As it is stored: all but `sequence`, which the database assigns."""
    data = event.data()
    text = data.model_dump_json()
    omitted: list[str] = []
    told: dict[str, Any] = {}
    for name in DISPENSABLE:
        if len(text.encode()) <= MAX_DATA:
            break
        told = told or data.model_dump(mode="json")
        if told.get(name) is not None:
            told[name] = None
            omitted.append(name)
            text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    link = json.dumps(kind.link(event.subject), ensure_ascii=False)
    head = (
        f'{{"type":"{event.type}","version":{kind.version},'
        f'"timestamp":"{rfc3339(at)}","data":{text},"link":{link}'
    )
    return head + (f',"omitted":{json.dumps(omitted)}}}' if omitted else "}")


def numbered(body: str, sequence: int) -> bytes:
    """As it is sent."""
    return f'{body[:-1]},"sequence":{sequence}}}'.encode()


def rfc3339(moment: datetime) -> str:
    """`2026-01-02T03:04:05.678Z`"""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
