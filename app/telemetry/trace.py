"""What belongs to one request, or to one picture of a batch: ids in all its log lines, the facts
for its own final line, and its spans, where these are collected."""

import os
import re
from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import Any, Self

from app.errors import ConfigurationError
from app.result import Result

Attributes = Mapping[str, Any]
NOTHING: Mapping[str, Any] = {}

_PARTS = r"-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_TRACEPARENT = re.compile(rf"00{_PARTS}|(?!00|ff)[0-9a-f]{{2}}{_PARTS}(?:-.*)?")
"""https://www.w3.org/TR/trace-context/#traceparent-header; a later version may add fields."""


class Span:
    """A span that is not collected: accepts every call and does nothing."""

    headers: Mapping[str, str] = NOTHING
    """Headers with which a called service can join the trace."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: object = None,
    ) -> None:
        return

    def set(self, attributes: Attributes) -> None:
        """Set attributes, except those that are None."""

    def fail(self, kind: str) -> None:
        """Mark as failed without an exception: `kind` is a short word from a closed set."""


NO_SPAN = Span()


class Trace:
    """Used in `with`, it is the current trace of everything awaited, or started as a task,
    inside."""

    __slots__ = ("_token", "facts", "ids", "trace_id")

    def __init__(self, trace_id: str, ids: Mapping[str, str]) -> None:
        """`ids`: further ids for its log lines."""
        self.trace_id = trace_id
        self.ids = {**ids, "trace_id": trace_id}
        self.facts: dict[str, Any] = {}
        self._token: Token[Trace] | None = None

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: object = None,
    ) -> None:
        if self._token is not None:
            _current.reset(self._token)

    def tell(self, **facts: Any) -> None:
        """Add facts for its line. Never a picture, a prompt, a URL, or text from a caller."""
        self.facts.update(facts)

    def span(self, name: str, attributes: Attributes = NOTHING, *, calls: bool = False) -> Span:
        """A part of the trace, for use in `with`. `calls`: another service is called there."""
        return NO_SPAN


class _Untraced(Trace):
    """Where no trace was started."""

    def __init__(self) -> None:
        super().__init__("", {})
        self.ids = {}

    def tell(self, **facts: Any) -> None:
        return


UNTRACED = _Untraced()

_current: ContextVar[Trace] = ContextVar("trace", default=UNTRACED)


def current() -> Trace:
    return _current.get()


def named(result: Result) -> dict[str, Any]:
    """Identifies a result and its status."""
    return {
        "caller": result.caller,
        "domain": result.domain,
        "result_id": result.id,
        "result_status": result.status,
    }


def told(result: Result) -> dict[str, Any]:
    """The facts of a result for a log line, without those that do not apply."""
    facts: dict[str, Any] = {
        **named(result),
        "predicted_class": result.predicted_class,
        "confidence": result.confidence,
        "provider": result.provider,
        "model": result.model,
        "deployment": result.deployment,
        "cached": result.cached or None,
        "degraded": result.degraded or None,
    }
    if (usage := result.usage) is not None and (usage.prompt_tokens or usage.completion_tokens):
        facts["prompt_tokens"] = usage.prompt_tokens
        facts["completion_tokens"] = usage.completion_tokens
        facts["cost_usd"] = None if usage.cost_usd is None else float(usage.cost_usd)
    if (spent := result.timings_ms) is not None:
        facts["fetch_ms"] = spent.fetch or None
        facts["prepare_ms"] = spent.prepare or None
        facts["wait_ms"] = spent.wait or None
        facts["provider_ms"] = spent.provider or None
        facts["total_ms"] = spent.total
    if result.error is not None:
        facts["error"] = result.error.kind
    return {name: value for name, value in facts.items() if value is not None}


class Tracing:
    """Starts traces. This class makes ids but no spans; the one in `app.telemetry.spans` makes
    both."""

    def request(self, traceparent: str, ids: Mapping[str, str]) -> Trace:
        """The trace of a request, whose `traceparent` header ("": none) may name the trace it
        joins."""
        return Trace(trace_of(traceparent) or new_trace_id(), ids)

    def work(self, name: str, ids: Mapping[str, str] = NOTHING, *, of: Trace = UNTRACED) -> Trace:
        """The trace of background work: a trace of its own, or a part `of` one that has ended."""
        return Trace(of.trace_id or new_trace_id(), {**of.ids, **ids})

    async def aclose(self) -> None:
        """Export what has not been exported yet."""


def configured_tracing(*, enabled: bool) -> Tracing:
    """Raises ConfigurationError where OpenTelemetry is enabled but not installed."""
    if not enabled:
        return Tracing()
    try:
        from app.telemetry.spans import OpenTelemetry
    except ImportError:
        raise ConfigurationError(
            "TRACING_ENABLED needs the extra `tracing`: pip install opentelemetry-sdk "
            "opentelemetry-exporter-otlp-proto-http"
        ) from None
    return OpenTelemetry()


def new_trace_id() -> str:
    return os.urandom(16).hex()


def trace_of(traceparent: str) -> str | None:
    """The trace-id of a well-formed W3C `traceparent`."""
    if not traceparent:
        return None
    found = _TRACEPARENT.fullmatch(traceparent)
    return (found[1] or found[2]) if found else None
