"""Wraps every request: its ids, its log line, its metrics, and the length that it declares."""

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from contextlib import suppress

import structlog
from starlette.datastructures import Headers
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.forms import SMALL_BODY
from app.api.problems import BODY_TOO_LARGE, problem_response
from app.errors import InternalError, UploadTooLarge
from app.identifiers import REQUEST, new_id
from app.telemetry.logging import write_line
from app.telemetry.metrics import Metrics
from app.telemetry.trace import Trace, Tracing

log = structlog.stdlib.get_logger("app.access")
access = logging.getLogger("app.access")

HEADER, TRACEPARENT = b"x-request-id", b"traceparent"
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_IDENTIFIER = re.compile(r"[a-z]{3}_[0-9A-HJKMNP-TV-Z]{26}")
LINGER_BYTES = 64_000_000
LINGER_S = 5.0
PAUSE_S = 1.0

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestContext:
    """Takes a well-formed X-Request-ID or makes one, for the answer and for every log line, and
    continues the trace that `traceparent` names, or begins one."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracing: Tracing) -> None:
        self.app = app
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = traceparent = b""
        for name, value in scope["headers"]:  # in one go: it is done for every request
            if name == HEADER:
                given = value
            elif name == TRACEPARENT:
                traceparent = value
        request_id = given.decode() if _WELL_FORMED.fullmatch(given) else new_id(REQUEST)
        told = (HEADER, request_id.encode())
        status: int | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), told]}
            await send(message)

        began = time.perf_counter()
        self._metrics.request_started()
        with self._tracing.request(
            traceparent.decode("latin-1"), {"request_id": request_id}
        ) as trace:
            try:
                await self.app(scope, receive, send_with_id)
            except ClientDisconnect:
                # The client is gone; proxies log 499 in this case.
                status = status or 499
            except Exception:
                log.exception("unexpected error")
                if status is not None:
                    raise
                mistake = InternalError("The service made a mistake; its log says more.")
                await problem_response(mistake, scope["path"])(scope, receive, send_with_id)
            finally:
                self._finished(scope, trace, status or 500, time.perf_counter() - began)

    def _finished(self, scope: Scope, trace: Trace, status: int, seconds: float) -> None:
        # A path that is no route of ours must not get a label of its own.
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        self._metrics.request_finished(
            method=method, route=route, status=status, seconds=seconds, trace_id=trace.trace_id
        )
        # Not the path: one that is no route of ours may contain anything.
        ids = {
            name: value
            for name, value in scope.get("path_params", {}).items()
            if _IDENTIFIER.fullmatch(value)
        }
        trace.facts = {
            "method": method,
            "route": route,
            "status": status,
            "duration_ms": round(seconds * 1000, 2),
            **ids,
            **trace.facts,
        }
        write_line(access, "request", trace.facts)


class BodyLimit:
    """Answers with a problem if a body declares to be too large, at once, or turns out to be."""

    def __init__(self, app: ASGIApp, max_bytes: Mapping[str, int]) -> None:
        """`max_bytes` by path, in which a part may be `{named}`; other routes take no pictures, and
        get the limit of small bodies."""
        limits = {
            path: (limit, RequestBodyLimitMiddleware(app, limit))
            for path, limit in max_bytes.items()
        }
        self._limits = {path: each for path, each in limits.items() if "{" not in path}
        self._patterns = [
            (re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), each)
            for path, each in limits.items()
            if "{" in path
        ]
        self._small = (SMALL_BODY, RequestBodyLimitMiddleware(app, SMALL_BODY))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared = Headers(scope=scope).get("content-length", "") if scope["type"] == "http" else ""
        max_bytes, app = self._limit(scope.get("path", ""))
        if declared.isdecimal() and int(declared) > max_bytes:
            await _let_finish(scope, receive)
            response = problem_response(
                UploadTooLarge(BODY_TOO_LARGE), scope["path"], {"Connection": "close"}
            )
            await response(scope, receive, send)
            return
        await app(scope, receive, send)

    def _limit(self, path: str) -> tuple[int, ASGIApp]:
        if path in self._limits:
            return self._limits[path]
        found = (each for pattern, each in self._patterns if pattern.fullmatch(path))
        return next(found, self._small)


async def _let_finish(scope: Scope, receive: Receive) -> None:
    """Discard what is on its way already: if the connection is closed while the client sends, it is
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
