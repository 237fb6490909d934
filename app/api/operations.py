"""Health and metrics: for the people and programs that keep the service running."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from app import __version__
from app.api.dependencies import Caller, Joined

router = APIRouter(tags=["operations"])


class HealthReport(BaseModel):
    """For people."""

    status: Literal["ok", "degraded"] = Field(examples=["ok"])
    failing: list[str] = Field(
        description="`starting`, `draining`, or the checks that failed: `storage`; `quota` when "
        "Redis is gone and each process keeps to its share.",
        examples=[[]],
    )
    version: str = Field(examples=["0.1.0"])
    provider: str = Field(description="Who answers by default.", examples=["local"])
    model: str = Field(examples=["efficientnet-lite0-int8"])
    deployment: str | None = Field(examples=[None])
    storage: str = Field(examples=["sqlite:///data/app.db"])
    uptime_s: float = Field(examples=[86_400.0])
    last_provider_success: datetime | None = Field(examples=["2026-01-02T03:04:05.678Z"])


class Ready(BaseModel):
    """For load balancers."""

    status: Literal["ready", "not_ready"] = Field(examples=["ready"])
    failing: list[str] = Field(
        description="`starting`, `draining`, or the checks that failed.", examples=[[]]
    )


@router.get("/health")
async def health(parts: Joined) -> HealthReport:
    """How the service is doing. Always 200 while it can answer at all."""
    name = parts.settings.provider_name
    capabilities = await parts.providers.capabilities(name)
    failing = await parts.health.failing()
    return HealthReport(
        status="degraded" if failing else "ok",
        failing=failing,
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
    """200 while the process runs and its event loop turns."""
    return {"status": "alive"}


@router.get("/health/ready", response_model=Ready, responses={503: {"model": Ready}})
async def ready(parts: Joined) -> Response:
    """503 while starting or draining, or while what it can't do without is down."""
    failing = await parts.health.unready()
    report = Ready(status="not_ready" if failing else "ready", failing=failing)
    return JSONResponse(report.model_dump(), 503 if failing else 200)


@router.get("/metrics", response_class=Response)
async def metrics(parts: Joined, caller: Caller) -> Response:
    """Prometheus' text format."""
    if not parts.metrics.enabled:
        raise HTTPException(404, "Not Found")
    return Response(parts.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)
