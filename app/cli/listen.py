"""`webhooks listen`: a receiver that shows the deliveries it gets."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import typer
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from app.cli.output import plain
from app.errors import ConfigurationError, InvalidRequest
from app.listening import ListeningServer
from app.webhooks import SignatureRefused, check_key, verify

MAX_BODY = 1_000_000
MAX_SHOWN = 100_000
"""Characters of a body: indenting a small but deeply nested one would yield gigabytes."""
REMEMBERED = 10_000
"""Ids, for recognising repeated deliveries."""
GRACE_S = 1
"""For answers still in progress at shutdown."""


def listen(*, host: str, port: int, secrets: Sequence[str], answer: int, count: int | None) -> None:
    """Run until SIGTERM, Ctrl-C or the last of `count` deliveries. Raises ConfigurationError."""
    try:
        keys = [check_key(each) for each in secrets]
    except InvalidRequest as error:
        raise ConfigurationError(f"--secret: {error}") from None
    receiver = Receiver(keys, answer=answer, count=count)
    server = Server(receiver, host=host, port=port)
    with suppress(KeyboardInterrupt):
        server.run()
    if receiver.failure is not None:
        raise receiver.failure


class Receiver:
    """Prints each POST.

    Attributes:
        over: no more are accepted.
        failure: the error because of which nothing can be printed any more.
    """

    def __init__(self, keys: Sequence[str], *, answer: int, count: int | None) -> None:
        self._keys = keys
        self._answer = answer
        self._left = count
        self._seen: dict[str, None] = {}
        self.over = False
        self.failure: OSError | None = None

    async def receive(self, request: Request) -> Response:
        try:
            body = await request.body()
        except ClientDisconnect:
            return Response(status_code=400)
        except HTTPException as error:
            path = plain(_path(request))
            typer.echo(f"{_now()}  {path}  not read: more than {MAX_BODY:,} bytes")
            return Response(status_code=error.status_code)
        if self.over:
            return Response(status_code=503)
        self._count()
        try:
            typer.echo("\n".join(self._report(request, body)))
        except OSError as error:
            self.over, self.failure = True, error
        return Response(status_code=self._answer)

    def _count(self) -> None:
        if self._left is not None:
            self._left -= 1
            self.over = self._left == 0

    def _report(self, request: Request, body: bytes) -> Iterator[str]:
        value = _parsed(body)
        kind = value.get("type") if isinstance(value, dict) else None
        message_id = request.headers.get("webhook-id")
        facts = [
            _now(),
            _path(request),
            kind if isinstance(kind, str) else "-",
            message_id or "-",
            self._verdict(request.headers, body),
            *(["again"] if message_id and self._is_known(message_id) else []),
        ]
        yield "  ".join(map(plain, facts))
        shown = body.decode(errors="replace") if value is None else _indented(value)
        for line in shown[:MAX_SHOWN].split("\n"):
            yield plain(line)
        if len(shown) > MAX_SHOWN:
            yield "..."

    def _verdict(self, headers: Mapping[str, str], body: bytes) -> str:
        if not self._keys:
            return "not verified"
        try:
            verify(self._keys, headers, body, now=time.time())
        except SignatureRefused as error:
            return f"refused: {error}"
        return "valid signature"

    def _is_known(self, message_id: str) -> bool:
        if message_id in self._seen:
            return True
        self._seen[message_id] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return False


class Server(ListeningServer):
    """Ends when its receiver has accepted the last delivery."""

    def __init__(self, receiver: Receiver, *, host: str, port: int) -> None:
        config = uvicorn.Config(
            Starlette(
                routes=[Route("/{path:path}", receiver.receive, methods=["POST"])],
                middleware=[Middleware(RequestBodyLimitMiddleware, MAX_BODY)],
            ),
            host=host,
            port=port,
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)
        self._receiver = receiver

    async def listening(self, url: str) -> None:
        typer.echo(f"listening on {url}")

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._receiver.over


def _now() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")


def _path(request: Request) -> str:
    # Not `request.url`: it fails when the Host header is not valid in a URL.
    path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else str(path)


def _parsed(body: bytes) -> Any:
    """None: it is not JSON, or is `null`."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _indented(value: Any) -> str:
    """At most one character more than is shown."""
    parts = json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(value)
    try:
        return _beginning(parts, MAX_SHOWN + 1)
    except RecursionError:
        return "nested too deeply to be shown"


def _beginning(parts: Iterable[str], length: int) -> str:
    found: list[str] = []
    for part in parts:
        found.append(part)
        length -= len(part)
        if length <= 0:
            break
    return "".join(found)
