"""What Prometheus sees. Every label's values are from a closed or configured set."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Literal, Self, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app import __version__

M = TypeVar("M", Counter, Gauge, Histogram)

STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


BREAKER_STATES = ("closed", "open", "half_open")


class Unmeasured:
    """Stands for a metric where metrics are off: takes every call and does nothing."""

    def labels(self, *_: str) -> Self:
        return self

    def inc(self, _: float = 1) -> None:
        return

    def dec(self, _: float = 1) -> None:
        return

    def observe(self, _: float) -> None:
        return

    def set(self, _: float) -> None:
        return

    def set_function(self, _: Callable[[], float]) -> None:
        return


class _Traffic(Collector):
    """What is known only at the moment of a scrape."""

    def __init__(self, states: Callable[[], Iterable[Any]]) -> None:
        self._states = states

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        waiting = _gauge("waiting_calls", "Calls that wait for quota.", ["provider", "lane"])
        of = ["provider", "deployment"]
        in_flight = _gauge("deployment_calls_in_flight", "Calls under way.", of)
        breaker = _gauge("deployment_breaker", "1 for the state that it is in.", [*of, "state"])
        left = _gauge("deployment_quota_left", "Share of a window, 0 to 1.", [*of, "dimension"])
        limit = _gauge("deployment_quota_limit", "Per minute, as believed.", [*of, "dimension"])
        latency = _gauge("deployment_latency_seconds", "Running mean.", of)
        for provider in self._states():
            for lane, count in provider.waiting.items():
                waiting.add_metric([provider.provider, lane], count)
            for each in provider.deployments:
                name = [provider.provider, each.name]
                in_flight.add_metric(name, each.in_flight)
                latency.add_metric(name, each.latency_s)
                for state in BREAKER_STATES:
                    breaker.add_metric([*name, state], each.breaker == state)
                for dimension, quota in each.quota.items():
                    left.add_metric([*name, dimension], quota.share_left)
                    limit.add_metric([*name, dimension], quota.per_minute)
        return [waiting, in_flight, breaker, left, limit, latency]


def _gauge(name: str, text: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"classifier_{name}", text, labels=labels)


class Metrics:
    """The service tells what happened; this counts it, unless it is not `enabled`."""

    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled = enabled
        self.registry = CollectorRegistry()
        self._requests = self._counter(
            "http_requests", "Requests answered.", ["method", "route", "status"]
        )
        self._request_seconds = self._histogram(
            "http_request_seconds", "From the request's head to the answer's end.", ["route"]
        )
        self._http_in_flight = self._gauge("http_requests_in_flight", "Requests being answered.")
        self._stage_seconds = self._histogram(
            "stage_seconds",
            "Time of one classification by stage: fetch, lookup, prepare, wait, provider, store.",
            ["stage"],
        )
        self._stages: dict[str, Any] = {}  # to look one up takes as long as to observe
        self._results = self._counter("results", "Results by outcome.", ["domain", "status"])
        self._answers = self._counter(
            "answers", "Answers: asked for, shared with a request at the same time, kept.", ["how"]
        )
        self._classifications_in_flight = self._gauge(
            "classifications_in_flight", "Pictures between acceptance and result."
        )
        self._provider_calls_in_flight = self._gauge(
            "provider_calls_in_flight", "Calls that wait for a provider's answer.", ["provider"]
        )
        self._provider_errors = self._counter(
            "provider_errors", "Failed calls, retried ones included.", ["provider", "kind"]
        )
        self._retries = self._counter(
            "retries", "Calls made again, by what failed before.", ["provider", "kind"]
        )
        self._admission_seconds = self._histogram(
            "admission_wait_seconds", "Waiting for a deployment's quota.", ["lane"]
        )
        self._tokens = self._counter(
            "tokens",
            "Tokens as billed; kind is prompt or completion.",
            ["deployment", "domain", "kind"],
        )
        self._token_parts = self._counter(
            "token_parts",
            "What the tokens were; part is cached or cache_write (of prompt), or reasoning (of "
            "completion).",
            ["deployment", "domain", "part"],
        )
        self._cost = self._counter(
            "cost_usd", "US dollars, where the price is known.", ["deployment", "domain"]
        )
        self._config_reloads = self._counter(
            "config_reloads", "Reloads of config/domains.yaml.", ["outcome"]
        )
        self._webhook_attempts = self._counter(
            "webhook_attempts",
            "Attempts to deliver an event: delivered, failed, overloaded, gone, refused (by the "
            "policy for URLs).",
            ["outcome"],
        )
        self._webhook_seconds = self._histogram(
            "webhook_delivery_seconds", "From an event to its delivery, retries included.", []
        )
        self._webhooks_disabled = self._counter(
            "webhooks_disabled", "Webhooks disabled because they were failing, or gone.", ["why"]
        )
        self._webhooks_pending = self._gauge(
            "webhook_deliveries_pending", "Deliveries to be made, as of the last minute."
        )
        Info("classifier_build", "What is running.", registry=self.registry).info(
            {"version": __version__}
        )

    def exposition(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)

    def request_started(self) -> None:
        self._http_in_flight.inc()

    def request_finished(self, *, method: str, route: str, status: int, seconds: float) -> None:
        self._http_in_flight.dec()
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def stage(self, stage: str, seconds: float) -> None:
        if stage not in self._stages:
            self._stages[stage] = self._stage_seconds.labels(stage)
        self._stages[stage].observe(seconds)

    def classification_started(self) -> None:
        self._classifications_in_flight.inc()

    def classification_finished(self) -> None:
        self._classifications_in_flight.dec()

    def result(self, *, domain: str, status: str) -> None:
        self._results.labels(domain, status).inc()

    def answer(self, how: Literal["asked", "shared", "kept"]) -> None:
        self._answers.labels(how).inc()

    def call_started(self, provider: str) -> None:
        self._provider_calls_in_flight.labels(provider).inc()

    def call_finished(self, provider: str) -> None:
        self._provider_calls_in_flight.labels(provider).dec()

    def provider_error(self, *, provider: str, kind: str) -> None:
        self._provider_errors.labels(provider, kind).inc()

    def retry(self, provider: str, kind: str) -> None:
        self._retries.labels(provider, kind).inc()

    def admission(self, lane: str, seconds: float) -> None:
        self._admission_seconds.labels(lane).observe(seconds)

    def watch_traffic(self, states: Callable[[], Iterable[Any]]) -> None:
        """Ask `states` (of `app.traffic.ProviderState`) at every scrape."""
        if self.enabled:
            self.registry.register(_Traffic(states))

    def watch_sharing(self, connected: Callable[[], bool]) -> None:
        """Ask `connected` at every scrape whether the quota is shared."""
        gauge = self._gauge("quota_shared", "1 while Redis counts; 0: this process counts alone.")
        gauge.set_function(lambda: float(connected()))

    def tokens(
        self, *, deployment: str, domain: str, prompt: int, completion: int, parts: dict[str, int]
    ) -> None:
        self._tokens.labels(deployment, domain, "prompt").inc(prompt)
        self._tokens.labels(deployment, domain, "completion").inc(completion)
        for part, count in parts.items():
            self._token_parts.labels(deployment, domain, part).inc(count)

    def cost(self, *, deployment: str, domain: str, usd: Decimal) -> None:
        self._cost.labels(deployment, domain).inc(float(usd))

    def webhook_attempt(self, outcome: str) -> None:
        self._webhook_attempts.labels(outcome).inc()

    def webhook_delivered(self, seconds: float) -> None:
        self._webhook_seconds.observe(seconds)

    def webhook_disabled(self, why: Literal["failing", "gone"]) -> None:
        self._webhooks_disabled.labels(why).inc()

    def webhooks_pending(self, count: int) -> None:
        self._webhooks_pending.set(count)

    def config_reload(self, *, succeeded: bool) -> None:
        self._config_reloads.labels("taken" if succeeded else "refused").inc()

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter | Unmeasured:
        return self._made(Counter, name, text, labels)

    def _gauge(self, name: str, text: str, labels: list[str] | None = None) -> Gauge | Unmeasured:
        return self._made(Gauge, name, text, labels or [])

    def _histogram(self, name: str, text: str, labels: list[str]) -> Histogram | Unmeasured:
        return self._made(Histogram, name, text, labels, buckets=STAGE_BUCKETS)

    def _made(
        self, kind: type[M], name: str, text: str, labels: list[str], **options: Any
    ) -> M | Unmeasured:
        if not self.enabled:
            return Unmeasured()
        return kind(f"classifier_{name}", text, labels, registry=self.registry, **options)
