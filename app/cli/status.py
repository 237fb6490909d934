"""`status`: shows the state of a running service on one screen."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlencode

from pydantic import BaseModel, RootModel
from rich.console import Console
from rich.live import Live

from app.analytics import CostReport, QualityReport
from app.api.alerts import AlertList
from app.api.batch_reports import BatchPage
from app.api.deployments import ProviderReport
from app.api.operations import HealthReport
from app.cli.output import on_terminal, print_json, print_lines
from app.cli.status_screen import screen
from app.client.http import Http
from app.errors import ClassifierError, NotAllowed
from app.moment import HOUR, began
from app.storage import BatchReport
from app.storage.event_types import AlertReport

TIMEOUT_S = 10.0
AT_WORK = urlencode([("status", each) for each in ("queued", "running", "paused")])

T = TypeVar("T", bound=BaseModel)


class Status(BaseModel):
    """What a service reports of itself; None: reported to operators only."""

    health: HealthReport
    last_hour: QualityReport
    last_day: QualityReport
    cost_today: CostReport
    batches: list[BatchReport]
    alerts: list[AlertReport] | None
    deployments: list[ProviderReport] | None


class _Deployments(RootModel[list[ProviderReport]]):
    """The deployments as the API returns them."""


def status(url: str, *, api_key: str | None, every_s: float, once: bool, as_json: bool) -> None:
    """On a terminal, refresh until Ctrl-C, unless `once`. Raises the errors of the first
    request."""
    asyncio.run(_status(url, api_key, every_s, once=once or not on_terminal(), as_json=as_json))


async def _status(
    url: str, api_key: str | None, every_s: float, *, once: bool, as_json: bool
) -> None:
    async with aclosing(Http(url, api_key, timeout_s=TIMEOUT_S)) as http:
        found = await _look(http)
        if as_json:
            print_json(found.model_dump(mode="json"))
        elif not on_terminal():
            print_lines(_lines(found))
        elif once:
            Console(highlight=False).print(screen(url, found))
        else:
            await _show(http, url, found, every_s)


async def _show(http: Http, url: str, found: Status, every_s: float) -> None:
    """Keep showing the last state while the service does not answer."""
    with Live(screen(url, found), screen=True, auto_refresh=False) as live:
        while True:
            live.refresh()
            await asyncio.sleep(every_s)
            try:
                found, gone = await _look(http), None
            except ClassifierError as error:
                gone = str(error)
            live.update(screen(url, found, gone=gone))


async def _look(http: Http) -> Status:
    """Raises the errors of the service's problem responses, ServiceUnreachable and
    UnexpectedAnswer."""
    now = datetime.now(UTC)
    hour = urlencode({"since": (now - HOUR).isoformat(), "by": "minute"})
    day = urlencode({"since": (now - 24 * HOUR).isoformat(), "by": "hour"})
    today = urlencode({"since": began(now, "day").isoformat(), "by": "domain"})
    health, last_hour, last_day, cost = await asyncio.gather(
        http.get("/health", HealthReport, patience_s=0),
        http.get(f"/analytics?{hour}", QualityReport, patience_s=0),
        http.get(f"/analytics?{day}", QualityReport, patience_s=0),
        http.get(f"/analytics/cost?{today}", CostReport, patience_s=0),
    )
    batches, alerts, deployments = await asyncio.gather(
        http.get(f"/batches?{AT_WORK}", BatchPage, patience_s=0),
        _if_allowed(http, "/alerts?limit=1000", AlertList),
        _if_allowed(http, "/deployments", _Deployments),
    )
    return Status(
        health=health,
        last_hour=last_hour,
        last_day=last_day,
        cost_today=cost,
        batches=batches.batches,
        alerts=alerts and [each for each in alerts.alerts if each.state != "resolved"],
        deployments=deployments and deployments.root,
    )


async def _if_allowed(http: Http, path: str, model: type[T]) -> T | None:
    try:
        return await http.get(path, model, patience_s=0)
    except NotAllowed:
        return None


def _lines(found: Status) -> Iterator[tuple[object, ...]]:
    """For programs: a name, its subject, and its value."""
    yield "status", "", found.health.status
    for trouble in found.health.troubles:
        yield "trouble", trouble.what, trouble.means
    for alert in found.alerts or ():
        yield f"alert {alert.state}", f"{alert.rule} {alert.subject}".strip(), alert.value
    for span, report in (("last hour", found.last_hour), ("last day", found.last_day)):
        for each in (report.total, *report.domains):
            of = f"{span} {getattr(each, 'domain', '')}".strip()
            yield "results", of, each.results
            yield "needs review", of, each.needs_review
            yield "without an answer", of, each.failed + each.unanswered
            yield "accuracy", of, each.accuracy
            yield "p95 ms", of, each.latency_ms["total"].p95 if each.latency_ms else None
    yield "USD", "today", float(found.cost_today.total_usd)
    for provider in found.deployments or ():
        for deployment in provider.deployments:
            of = f"{provider.process} {provider.provider}/{deployment.name}"
            yield "breaker", of, deployment.breaker
            for dimension, quota in deployment.quota.items():
                yield f"{dimension} left", of, quota.share_left
    for batch in found.batches:
        yield f"batch {batch.status}", batch.id, f"{batch.done}/{batch.total}"
