"""The HTTP face: an app over the parts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from app import __version__
from app.api import classify, domains, operations, pages, problems, results
from app.api.context import BodyLimit, RequestContext
from app.parts import Parts

DESCRIPTION = """\
Which class of a domain an image shows, how sure that is, and whether a person should look.

Errors are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problems; their types are listed in
docs/errors.md. Every answer carries an `X-Request-ID`.
"""

FORM_OVERHEAD = 100_000
"""Bytes of a body beside its picture: metadata, part headers."""


def create_app(parts: Parts) -> FastAPI:
    """An app over parts that are started and stopped by whoever built them."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        parts.health.state = "ready"
        yield
        parts.health.state = "draining"

    app = FastAPIOffline(
        title="Enhanced image classifier",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        static_url="/docs/assets",
    )
    app.state.parts = parts
    problems.install(app)
    for module in (classify, results, domains, operations, pages):
        app.include_router(module.router)
    app.add_middleware(BodyLimit, max_bytes=parts.settings.max_upload * 4 // 3 + FORM_OVERHEAD)
    app.add_middleware(RequestContext, metrics=parts.metrics)
    return app
