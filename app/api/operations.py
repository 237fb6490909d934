"""Health and metrics: for the people and programs that keep the service running."""

import asyncio
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app import __version__
from app.api.dependencies import Caller, InMemory
from app.api.problems import MEDIA_TYPE, SCHEMA

router = APIRouter(tags=["operations"])

AS_METRICS: dict[str, Any] = {
    media_type: {"schema": {"type": "string"}}
    for media_type in ("text/plain", "application/openmetrics-text")
}
"""What scrapers are sent, for OpenAPI."""
OFF: dict[str, Any] = {
    "description": "`about:blank`: `monitoring.enable_metrics` is false.",
    "content": {MEDIA_TYPE: {"schema": SCHEMA}},
}


class TroubleReport(BaseModel):
    """Something that is wrong."""

    what: str = Field(
        description="An entry of `failing`, or `provider/deployment`.",
        examples=["azure_openai/west"],
    )
    since: datetime | None = Field(examples=["2026-01-02T03:04:05.678Z"])
    means: str = Field(
        description="What it means for callers.",
        examples=["The database does not answer: nothing can be taken or told."],
    )


class HealthReport(BaseModel):
    """State of the service, for people."""

    status: Literal["ok", "degraded"] = Field(examples=["ok"])
    failing: list[str] = Field(
        description="`starting`, `draining`, or the checks that failed: `storage`; `quota` if "
        "Redis can't be reached and each process keeps to its share.",
        examples=[[]],
    )
    troubles: list[TroubleReport] = Field(
        description="What makes the service `degraded`, in words: the entries of `failing`, and "
        "deployments that are not called because they fail.",
        examples=[[]],
    )
    version: str = Field(examples=["1.0.0"])
    provider: str = Field(description="The default provider.", examples=["local"])
    model: str = Field(examples=["efficientnet-lite0-int8"])
    deployment: str | None = Field(examples=[None])
    storage: str = Field(examples=["sqlite:///data/app.db"])
    uptime_s: float = Field(examples=[86_400.0])
    last_provider_success: datetime | None = Field(examples=["2026-01-02T03:04:05.678Z"])


class Ready(BaseModel):
    """State of the service, for load balancers."""

    status: Literal["ready", "not_ready"] = Field(examples=["ready"])
    failing: list[str] = Field(
        description="`starting`, `draining`, or the checks that failed.", examples=[[]]
    )


@router.get("/health")
async def health(parts: InMemory) -> HealthReport:
    """Report the state of the service. Always 200 as long as it can respond at all."""
    name = parts.settings.provider_name
    capabilities = await parts.providers.capabilities(name)
    failing, besides = await parts.health.troubles()
    troubles = [*failing, *besides]
    return HealthReport(
        status="degraded" if troubles else "ok",
        failing=[each.what for each in failing],
        troubles=[TroubleReport(**asdict(each)) for each in troubles],
        version=__version__,
        provider=name,
        model=capabilities.model,
        deployment=capabilities.deployment,
        storage=parts.database.description,
        uptime_s=round(parts.health.uptime_s, 1),
        last_provider_success=parts.health.last_provider_success,
    )


@router.get("/health/live")
async def live() -> dict[str, str]:
    """Liveness: 200 while the process and its event loop run."""
    return {"status": "alive"}


@router.get("/health/ready", response_model=Ready, responses={503: {"model": Ready}})
async def ready(parts: InMemory) -> Response:
    """Readiness: 503 while starting or draining, or while something indispensable is down."""
    failing = await parts.health.unready()
    report = Ready(status="not_ready" if failing else "ready", failing=failing)
    return JSONResponse(report.model_dump(), 503 if failing else 200)


@router.get("/metrics", response_class=Response, responses={200: {"content": AS_METRICS}, 404: OFF})
async def metrics(request: Request, parts: InMemory, caller: Caller) -> Response:
    """Return metrics in Prometheus' text format, or as OpenMetrics if `Accept` names it."""
    if not parts.metrics.enabled:
        raise HTTPException(404, "Not Found")
    scrape = parts.metrics.scrape()
    content, kind = await asyncio.to_thread(scrape.text, request.headers.get("accept", ""))
    return Response(content, headers={"content-type": kind})
