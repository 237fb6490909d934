"""Around every request: its id, its log line, its metrics, and the length it declares."""

import asyncio
import re
import time
from collections.abc import Mapping
from contextlib import suppress

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import BODY_TOO_LARGE, problem_response
from app.errors import InternalError, UploadTooLarge
from app.identifiers import REQUEST, new_id
from app.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger("app.access")

HEADER = "x-request-id"
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,128}")
SMALL_BODY = 256_000
"""Bytes: a domain of 500 described classes is half of it."""

LINGER_BYTES = 64_000_000
LINGER_S = 5.0
PAUSE_S = 1.0

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestContext:
    """Takes a well-formed X-Request-ID or makes one, for the answer and for every log line."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _WELL_FORMED.fullmatch(given) else new_id(REQUEST)
        status: int | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        began = time.perf_counter()
        self._metrics.request_started()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_with_id)
            except ClientDisconnect:
                # Nobody is there to be answered; 499 is what proxies write then.
                status = status or 499
            except Exception:
                log.exception("unexpected error")
                if status is not None:
                    raise
                mistake = InternalError("The service made a mistake; its log says more.")
                await problem_response(mistake, scope["path"])(scope, receive, send_with_id)
            finally:
                self._finished(scope, status or 500, time.perf_counter() - began)

    def _finished(self, scope: Scope, status: int, seconds: float) -> None:
        # What is no route of ours must not make a label of its own.
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        self._metrics.request_finished(method=method, route=route, status=status, seconds=seconds)
        log.info(
            "request",
            method=method,
            route=route,
            path=scope["path"],
            status=status,
            duration_ms=round(seconds * 1000, 2),
        )


class BodyLimit:
    """A problem for a body that says it is too large, at once, and for one that turns out to be."""

    def __init__(self, app: ASGIApp, max_bytes: Mapping[str, int]) -> None:
        """`max_bytes` by path; routes that are not in it take no pictures."""
        self._limits = {
            path: (limit, RequestBodyLimitMiddleware(app, limit))
            for path, limit in max_bytes.items()
        }
        self._small = (SMALL_BODY, RequestBodyLimitMiddleware(app, SMALL_BODY))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared = Headers(scope=scope).get("content-length", "") if scope["type"] == "http" else ""
        max_bytes, app = self._limits.get(scope.get("path", ""), self._small)
        if declared.isdecimal() and int(declared) > max_bytes:
            await _let_finish(scope, receive)
            response = problem_response(
                UploadTooLarge(BODY_TOO_LARGE), scope["path"], {"Connection": "close"}
            )
            await response(scope, receive, send)
            return
        await app(scope, receive, send)


async def _let_finish(scope: Scope, receive: Receive) -> None:
    """Throw away what is on its way already: a connection that is closed on a client that sends is
    reset, and the client never sees the answer. One that asked whether to send has sent nothing."""
    if Headers(scope=scope).get("expect", "").lower() == "100-continue":
        return
    seen = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while seen < LINGER_BYTES:
                message = await asyncio.wait_for(receive(), PAUSE_S)
                seen += len(message.get("body", b""))
                if not message.get("more_body"):
                    return
