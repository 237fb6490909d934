"""The HTTP interface: a FastAPI application on top of the parts."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from fastapi_offline import FastAPIOffline

from app import __version__
from app.api import (
    alerts,
    analytics,
    audit,
    batches,
    budgets,
    calibrations,
    cascades,
    classify,
    deliveries,
    deployments,
    domains,
    erasures,
    evaluations,
    events,
    examples,
    lessons,
    openapi,
    operations,
    pages,
    problems,
    results,
    reviews,
    webhooks,
)
from app.api.context import BodyLimit, RequestContext
from app.parts import Parts
from app.storage.event_types import EVENT_TYPES, EventType

DESCRIPTION = """\
Tells which class of a domain an image shows, with what confidence, and whether a person should
review the answer.

Errors are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problems; their types are listed in
docs/errors.md. Every response carries an `X-Request-ID`.
"""

OWN_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
"""FastAPI's own telemetry would expose paths, query strings and exception messages: it stays off,
and app/api/context.py reports instead."""

FORM_OVERHEAD = 100_000
"""Bytes that a request body may have besides its picture, which base64 makes a third longer."""


def create_app(parts: Parts, *, serving: bool = True) -> FastAPI:
    """Build the app on `parts`, which the code that built them starts and stops. Without `serving`
    it offers only health checks and metrics."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        parts.health.state = "ready"
        yield
        parts.health.state = "draining"

    if serving:
        app = create_schema_app(parts.outbox.types, lifespan=lifespan, telemetry=OWN_TELEMETRY)
    else:
        app = FastAPI(lifespan=lifespan, openapi_url=None, telemetry=OWN_TELEMETRY)
        problems.install(app)
        app.include_router(operations.router)
    app.state.parts = parts
    app.add_middleware(
        BodyLimit,
        max_bytes={
            "/classify": parts.settings.max_upload * 4 // 3 + FORM_OVERHEAD,
            "/batches": parts.settings.batch.max_upload,
            "/domains/{name}/examples": parts.settings.batch.max_upload,
        },
    )
    app.add_middleware(RequestContext, metrics=parts.metrics, tracing=parts.tracing)
    return app


def create_schema_app(types: Mapping[str, EventType] = EVENT_TYPES, **options: Any) -> FastAPI:
    """Build an app with all routes but no parts: enough to generate openapi.json. `types` are the
    event types that webhooks can receive."""
    app = FastAPIOffline(
        title="Enhanced image classifier",
        version=__version__,
        description=DESCRIPTION,
        redoc_url=None,  # fastapi-offline's page asks a CDN for a logo; ours is in pages.py
        static_url="/docs/assets",
        **options,
    )
    problems.install(app)
    openapi.document(app, types)
    for module in (
        *(classify, batches, results, reviews, evaluations),
        *(domains, calibrations, cascades),
        *(examples, lessons),
        *(budgets, webhooks, deliveries, events),
        *(alerts, analytics, audit, erasures, deployments, operations, pages),
    ):
        app.include_router(module.router)
    return app
