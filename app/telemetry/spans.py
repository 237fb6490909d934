"""Traces by OpenTelemetry. Imported only where tracing is on: importing takes a third of a second.

The service creates its own spans. Those of the framework would reveal paths and queries, and those
of the database would belong to a thread that commits the statements of many requests together.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from contextvars import Token
from threading import Thread
from typing import Any, Self

from opentelemetry import context as contexts
from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app import __version__
from app.errors import ClassifierError
from app.telemetry.trace import NOTHING, UNTRACED, Attributes, Span, Trace, Tracing, new_trace_id

SERVICE = "enhanced-image-classifier"
HANDED_OVER_WITHIN_S = 5.0
"""At shutdown: an unreachable collector must not delay the end of the process."""

ATTRIBUTES = {
    "method": "http.request.method",
    "route": "http.route",
    "status": "http.response.status_code",
    "error": "error.type",
    "result_status": "classifier.status",
    **{
        name: f"classifier.{name}"
        for name in (
            *("request_id", "batch_id", "result_id", "webhook_id", "delivery_id"),
            *("caller", "domain", "provider", "model", "deployment", "cached", "degraded"),
            *("predicted_class", "confidence", "outcome"),
        )
    },
}
"""The facts of a trace that are also set on its first span."""

_propagator = TraceContextTextMapPropagator()


class OpenTelemetry(Tracing):
    """Exports spans to a collector; the OTEL_* variables say where, and which spans."""

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        """`exporter`: OTLP over HTTP by default."""
        resource = Resource.create()
        if str(resource.attributes.get(SERVICE_NAME, "unknown")).startswith("unknown"):
            resource = resource.merge(Resource({SERVICE_NAME: SERVICE}))
        version = Resource({SERVICE_VERSION: __version__})
        self._provider = TracerProvider(resource=version.merge(resource), shutdown_on_exit=False)
        self._exporter = exporter or OTLPSpanExporter()
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("app", __version__)
        # For the spans of docket's tasks, unless the embedding program has set a provider.
        if isinstance(api.get_tracer_provider(), api.ProxyTracerProvider):
            api.set_tracer_provider(self._provider)

    def request(self, traceparent: str, ids: Mapping[str, str]) -> Trace:
        parent = _propagator.extract({"traceparent": traceparent}, Context())
        return _Spanned(
            self._tracer, self._tracer.start_span("request", parent, SpanKind.SERVER), ids
        )

    def work(self, name: str, ids: Mapping[str, str] = NOTHING, *, of: Trace = UNTRACED) -> Trace:
        parent, links = Context(), []
        if isinstance(of, _Spanned):
            parent, ids = api.set_span_in_context(of.first, parent), {**of.ids, **ids}
        elif (around := api.get_current_span().get_span_context()).is_valid:
            links = [api.Link(around)]
        return _Spanned(self._tracer, self._tracer.start_span(name, parent, links=links), ids)

    async def aclose(self) -> None:
        """Runs in a thread that is not waited for longer than this: the library's own limits do not
        hold."""
        loop, is_closed = asyncio.get_running_loop(), asyncio.Event()

        def close() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop may be closed
                loop.call_soon_threadsafe(is_closed.set)

        Thread(target=close, daemon=True, name="tracing-close").start()
        try:
            await asyncio.wait_for(is_closed.wait(), HANDED_OVER_WITHIN_S)
        except TimeoutError:
            self._exporter.shutdown()  # ends the retries in the background


class _Spanned(Trace):
    """A trace whose first span lasts as long as the trace is the current one."""

    __slots__ = ("_attached", "_tracer", "first")

    def __init__(self, tracer: api.Tracer, first: api.Span, ids: Mapping[str, str]) -> None:
        spanned = first.get_span_context()
        trace_id = api.format_trace_id(spanned.trace_id) if spanned.is_valid else new_trace_id()
        super().__init__(trace_id, ids)
        self._tracer = tracer
        self.first = first
        self._attached: Token[Context] | None = None

    def __enter__(self) -> Self:
        self._attached = contexts.attach(api.set_span_in_context(self.first))
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: object = None,
    ) -> None:
        super().__exit__()
        if self._attached is not None:
            contexts.detach(self._attached)
        facts = {**self.ids, **self.facts}
        told = {ATTRIBUTES[name]: value for name, value in facts.items() if name in ATTRIBUTES}
        self.first.set_attributes(told)
        if "route" in facts:
            self.first.update_name(f"{facts['method']} {facts['route']}")
        if error is not None:
            _fail(self.first, _kind(error))
        elif facts.get("status", 0) >= 500 or ("error" in facts and "status" not in facts):
            _fail(self.first, facts.get("error", str(facts.get("status"))))
        self.first.end()

    def span(self, name: str, attributes: Attributes = NOTHING, *, calls: bool = False) -> Span:
        kind = SpanKind.CLIENT if calls else SpanKind.INTERNAL
        return _Open(self._tracer, name, kind, attributes)


class _Open(Span):
    """A part of a trace in progress."""

    def __init__(
        self, tracer: api.Tracer, name: str, kind: SpanKind, attributes: Attributes
    ) -> None:
        self._tracer = tracer
        self._name = name
        self._kind = kind
        self._attributes = attributes

    def __enter__(self) -> Self:
        self._span = self._tracer.start_span(
            self._name, kind=self._kind, attributes=_known(self._attributes)
        )
        self._attached = contexts.attach(api.set_span_in_context(self._span))
        if self._kind is SpanKind.CLIENT:
            headers: dict[str, str] = {}
            _propagator.inject(headers)
            self.headers = headers
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: object = None,
    ) -> None:
        contexts.detach(self._attached)
        if error is not None:
            self.fail(_kind(error))
        self._span.end()

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(_known(attributes))

    def fail(self, kind: str) -> None:
        _fail(self._span, kind)


def _known(attributes: Attributes) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _kind(error: BaseException) -> str:
    """Never the message: it may contain text from a caller or a provider."""
    return error.slug() if isinstance(error, ClassifierError) else type(error).__qualname__


def _fail(span: api.Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))
