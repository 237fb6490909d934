"""What monitoring costs a request: metrics, trace ids, the line that it leaves, and what is counted
of its result, against the same service without them, in turns, for the machine is noisy. Spans are
not collected.

    python -m benchmarks.monitoring [--rounds 200] [--json OUT]
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, redirect_stderr
from pathlib import Path
from typing import Any
from unittest.mock import patch

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.context import HEADER, RequestContext
from app.cli.serve import settle_interpreter
from app.identifiers import REQUEST, new_id
from app.main import create_app
from app.parts import Parts, build_parts
from app.settings import Settings
from app.settings_groups import AzureOpenAISettings, CacheSettings, MonitoringSettings
from app.telemetry.logging import LoggingConfig, configure_logging
from benchmarks.batch import Prepared
from benchmarks.ledger import BILLED, _answering
from benchmarks.report import Figure, parser, report, run

GOAL_MS = 0.15
AT_ONCE = 16
REQUESTS = 32
"""Per round, of each kind: short rounds, so that other load on the machine disturbs few of them."""

A_SECONDS = 500
"""Results per second."""

COUNTING = "app.storage.results.count_results"

WAYS = ("off", "on")
KINDS = ("classify", "live")
"""A classification with a provider that answers at once, and a route that does nothing."""


class OnlyIds:
    """What remains around a request: every answer carries an X-Request-ID."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        told = (HEADER, new_id(REQUEST).encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), told]}
            await send(message)

        await self._app(scope, receive, send_with_id)


class Service:
    """One of the measured services."""

    def __init__(self, app: ASGIApp, monitored: Parts | None) -> None:
        self._app = app
        self._monitored = monitored
        self._asked = 0

    @classmethod
    async def built(cls, way: str, folder: Path, stack: AsyncExitStack) -> "Service":
        settings = Settings(
            database_url=f"sqlite:///{folder}/{way}/app.db",
            azure_openai=AzureOpenAISettings(
                endpoint="http://localhost:1", api_key="key", deployment="gpt-4o", model="gpt-4o"
            ),
            rate_limit_rpm=10_000_000,
            cache=CacheSettings(ttl=0),
            monitoring=MonitoringSettings(enable_metrics=way == "on"),
        )
        parts = await stack.enter_async_context(build_parts(settings))
        parts.health.state = "ready"
        parts.classification._intake = Prepared(parts.classification._intake)
        (provider,) = await parts.providers.get("azure_openai")
        provider.classify = _answering(provider.cost(BILLED))
        return cls(cls._app(parts, way), parts if way == "on" else None)

    @staticmethod
    def _app(parts: Parts, way: str) -> ASGIApp:
        app = create_app(parts)
        if way == "off":
            app.user_middleware = [
                Middleware(OnlyIds) if each.cls is RequestContext else each
                for each in app.user_middleware
            ]
        return app

    async def round(self, kind: str) -> float:
        """Milliseconds of CPU time per request, of all threads."""
        before = time.process_time()
        left = iter(range(REQUESTS))

        async def ask() -> None:
            for _ in left:
                await self._ask(kind)

        with ExitStack() as stack:
            if self._monitored is None:
                stack.enter_context(patch(COUNTING, lambda *_: None))
            await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
        return (time.process_time() - before) / REQUESTS * 1000

    async def sums_ms(self) -> float:
        """The cost per result of updating the sums, in a second with that many results."""
        if self._monitored is None:
            return 0.0
        await self._monitored.tallies.roll()
        found = []
        for _ in range(5):
            for _ in range(A_SECONDS // REQUESTS):
                await self.round("classify")
            before = time.process_time()
            await self._monitored.tallies.roll()
            found.append((time.process_time() - before) / (A_SECONDS // REQUESTS * REQUESTS) * 1000)
        return min(found)

    async def _ask(self, kind: str) -> None:
        self._asked += 1
        path, method, body = "/health/live", "GET", b""
        if kind == "classify":
            picture = f"https://example.org/{self._asked}.jpg"
            asked = {"domain": "flowers", "image_url": picture}
            path, method, body = "/classify", "POST", json.dumps(asked).encode()
        statuses: list[int] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"service"), (b"content-type", b"application/json")],
        }
        await self._app(scope, receive, send)
        if statuses != [200]:
            raise RuntimeError(f"{path} answers with {statuses}")


async def measure(folder: Path, *, rounds: int) -> dict[str, Any]:
    """By kind of request: what each way costs in the tenth of the rounds with the least
    disturbance, and how much more `on` costs than `off`; `median` compares within the same turn.
    Both differences include `sums_ms`."""
    async with AsyncExitStack() as stack:
        lines = stack.enter_context((folder / "lines").open("w"))
        with redirect_stderr(lines):
            configure_logging(LoggingConfig(renderer="json"))
        stack.callback(configure_logging, LoggingConfig(level="warning"))
        services = {way: await Service.built(way, folder, stack) for way in WAYS}
        for each in services.values():
            for kind in KINDS:
                await each.round(kind)
        sums = {"classify": await services["on"].sums_ms(), "live": 0.0}
        return {
            kind: _figures(
                [await _in_turns(services, kind, number) for number in range(rounds)], sums[kind]
            )
            for kind in KINDS
        }


async def _in_turns(services: dict[str, Service], kind: str, number: int) -> dict[str, float]:
    """Each service is first as often as it is last."""
    ways = WAYS if number % 2 else WAYS[::-1]
    return {way: await services[way].round(kind) for way in ways}


def _figures(rounds: Sequence[dict[str, float]], sums_ms: float) -> dict[str, Any]:
    by_way = {way: [each[way] for each in rounds] for way in WAYS}
    undisturbed = {way: statistics.quantiles(each, n=10)[0] for way, each in by_way.items()}
    more = undisturbed["on"] - undisturbed["off"] + sums_ms
    return {
        "cpu_ms": undisturbed,
        "sums_ms": sums_ms,
        "more_ms": more,
        "median_more_ms": statistics.median(each["on"] - each["off"] for each in rounds) + sums_ms,
        "within_goal": more <= GOAL_MS,
    }


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    for kind, told in (("classify", "a classification"), ("live", "a request that does nothing")):
        cpu_ms, sums_ms = found[kind]["cpu_ms"], found[kind]["sums_ms"]
        yield Figure(
            name=f"{told}, monitored",
            value=cpu_ms["on"] + sums_ms,
            unit="ms of CPU",
            beside="without monitoring",
            beside_value=cpu_ms["off"],
        )
        yield Figure(
            name=f"monitoring of {told}",
            value=found[kind]["more_ms"],
            unit="ms of CPU",
            beside="all else of it",
            beside_value=cpu_ms["off"],
            goal=GOAL_MS,
        )


def main() -> None:
    options = parser(__doc__, rounds=200).parse_args()
    settle_interpreter()
    with tempfile.TemporaryDirectory() as name:
        found = run(measure(Path(name), rounds=options.rounds))
    report({"goal_ms": GOAL_MS, **found}, options, figures(found))


if __name__ == "__main__":
    main()
