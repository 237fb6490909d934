"""The metrics for Prometheus. The values of every label come from a closed or configured set."""

from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal, TypeVar

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from app import __version__, errors
from app.result import LABEL_SOURCES, Result
from app.telemetry.collectors import Checks, Traffic
from app.telemetry.families import UNMEASURED, Family, Unmeasured

M = TypeVar("M", Counter, Gauge, Histogram)

STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)

OUTCOMES = ("accepted", "needs_review", "failed")

KINDS = frozenset(
    each.slug()
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, errors.ClassifierError)
)
"""Kinds of failures; one that a plug-in defines is counted as `other`."""


class Metrics:
    """Counts the events that the service reports, unless it is not `enabled`."""

    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled = enabled
        self.registry = CollectorRegistry()
        self._requests = self._counters(
            "http_requests", "Requests answered.", ["method", "route", "status"]
        )
        self._request_seconds = self._histograms(
            "http_request_seconds",
            "Time from a request's head to the end of its response.",
            ["route"],
        )
        # Plain numbers, read when scraped: a gauge would take a lock at each change.
        self._http_in_flight = self._classifications_in_flight = 0
        self._gauge("http_requests_in_flight", "Requests being answered.").set_function(
            lambda: self._http_in_flight
        )
        self._classification_seconds = self._histograms(
            "classification_seconds",
            "Total time of a classification, as in its result: timings_ms.total.",
            ["domain"],
        )
        self._stage_seconds = self._histograms(
            "stage_seconds",
            "Time of one classification by stage: fetch, lookup, prepare, wait, provider, store.",
            ["stage"],
        )
        self._results = self._counters("results", "Results by outcome.", ["domain", "status"])
        self._failed = self._counters(
            "failed_results", "Failed results by kind of error.", ["domain", "kind"]
        )
        self._unanswered = self._counters(
            "unanswered",
            "Pictures without a result because no provider could be asked, by kind of error.",
            ["domain", "kind"],
        )
        self._labels = self._counters(
            "labels",
            "Answers whose true class became known, by whether they were right, and by its source: "
            "request, later, review (of an unsure answer), random_review (of one drawn at random).",
            ["domain", "right", "source"],
        )
        self._reviews = self._counters(
            "reviews",
            "Actions of reviewers: confirm, correct, reject, skip, reopen.",
            ["domain", "action"],
        )
        self._reviews_waiting = self._gauges(
            "reviews_waiting",
            "Answers that wait for review, as of the last minute; queue is unsure or random.",
            ["domain", "queue"],
        )
        self._items = self._counters(
            "batch_items",
            "Pictures of batches by outcome; again: put off, to be tried once more.",
            ["state"],
        )
        self._answers = self._counters(
            "answers",
            "Answers: asked, shared with a simultaneous request, or kept (cached).",
            ["how"],
        )
        self._gauge(
            "classifications_in_flight", "Pictures accepted but without a result yet."
        ).set_function(lambda: self._classifications_in_flight)
        self._provider_calls_in_flight = self._gauges(
            "provider_calls_in_flight", "Calls that wait for a provider's answer.", ["provider"]
        )
        self._provider_errors = self._counters(
            "provider_errors", "Failed calls, including retried ones.", ["provider", "kind"]
        )
        self._retries = self._counters(
            "retries", "Retried calls, by the kind of the error before.", ["provider", "kind"]
        )
        self._admission_seconds = self._histograms(
            "admission_wait_seconds", "Time that calls waited for quota.", ["lane"]
        )
        self._tokens = self._counters(
            "tokens",
            "Tokens as billed; kind is prompt or completion.",
            ["deployment", "domain", "kind"],
        )
        self._token_parts = self._counters(
            "token_parts",
            "Parts of the tokens: cached and cache_write (of prompt), reasoning (of completion).",
            ["deployment", "domain", "part"],
        )
        self._cost = self._counters(
            "cost_usd",
            "Cost of calls in US dollars, where the price is known.",
            ["deployment", "domain"],
        )
        self._config_reloads = self._counters(
            "config_reloads", "Reloads of config/domains.yaml.", ["outcome"]
        )
        self._webhook_attempts = self._counters(
            "webhook_attempts",
            "Attempts to deliver an event: delivered, failed, overloaded, gone, refused (by the "
            "policy for URLs).",
            ["outcome"],
        )
        self._webhook_seconds = self._made(
            Histogram,
            "webhook_delivery_seconds",
            "Time from an event to its delivery, including retries.",
            buckets=STAGE_BUCKETS,
        )
        self._webhooks_disabled = self._counters(
            "webhooks_disabled",
            "Webhooks disabled by the service, because they kept failing or were gone.",
            ["why"],
        )
        for why in ("failing", "gone"):
            self._webhooks_disabled[why,].inc(0)  # else Prometheus misses the first increase
        self._webhooks_pending = self._gauge(
            "webhook_deliveries_pending", "Deliveries still to be made, as of the last minute."
        )
        self._lag = self._made(
            Histogram,
            "event_loop_lag_seconds",
            "Delay with which the event loop runs a timer, measured twice a second.",
            buckets=LAG_BUCKETS,
        )
        if enabled:
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)
            GCCollector(registry=self.registry)
        self._alerts = self._gauges(
            "alerts", "Alerts that are pending or firing.", ["rule", "severity", "state"]
        )
        self._alert_messages = self._counters(
            "alert_messages", "Notifications about alerts: taken or failed.", ["outcome"]
        )
        self._drift = self._gauges(
            "drift",
            "Population stability index against the four weeks before; only in the process that "
            "evaluates the alert rules; of is classes or confidence.",
            ["domain", "of"],
        )
        self._calibration_errors = self._gauges(
            "calibration_error",
            "Expected calibration error of the newest calibration in force, on labels not used to "
            "fit it.",
            ["domain", "provider"],
        )
        self._examples_aside = self._gauges(
            "examples_set_aside",
            "Examples from reviews set aside because they made answers worse.",
            ["domain"],
        )
        Info("classifier_build", "Version of the service.", registry=self.registry).info(
            {"version": __version__}
        )

    def scrape(self) -> "Scrape":
        """The current metrics; call it on the event loop, where the objects that report them
        live."""
        return Scrape(self.registry.collect())

    def domains_are(self, names: Collection[str]) -> None:
        """Remove the series of other domains, and create those of these domains that rules
        count."""
        for family in vars(self).values():
            if isinstance(family, Family):
                family.keep("domain", names)
        # Series are created before they grow: Prometheus ignores the value that a series starts
        # with.
        for name in names:
            self._results.begin(*((name, status) for status in OUTCOMES))
            for source in LABEL_SOURCES:
                self._labels.begin(*((name, right, source) for right in ("true", "false")))

    def request_started(self) -> None:
        self._http_in_flight += 1

    def request_finished(
        self, *, method: str, route: str, status: int, seconds: float, trace_id: str
    ) -> None:
        self._http_in_flight -= 1
        self._requests[method, route, str(status)].inc()
        self._request_seconds[route,].observe(seconds, {"trace_id": trace_id})

    def stage(self, stage: str, seconds: float) -> None:
        self._stage_seconds[stage,].observe(seconds)

    def classification_started(self) -> None:
        self._classifications_in_flight += 1

    def classification_finished(self) -> None:
        self._classifications_in_flight -= 1

    def result(self, result: Result, *, trace_id: str) -> None:
        """Count a stored result."""
        domain = result.domain
        self._results[domain, result.status].inc()
        if result.timings_ms is not None:
            seconds = result.timings_ms.total / 1000
            exemplar = {"trace_id": trace_id} if trace_id else None
            self._classification_seconds[domain,].observe(seconds, exemplar)
        if result.error is not None:
            self._failed[domain, _known(result.error.kind)].inc()
        elif result.is_right is not None:
            self.label(result)

    def unanswered(self, domain: str, kind: str) -> None:
        """Count a valid picture for which no provider could be asked."""
        self._unanswered[domain, _known(kind)].inc()

    def label(self, result: Result) -> None:
        """Count an answer whose true class is known."""
        source = result.expected_source or "later"
        self._labels[result.domain, "true" if result.is_right else "false", source].inc()

    def reviewed(self, domain: str, action: str) -> None:
        """Count a person's review."""
        self._reviews[domain, action].inc()

    def reviews_waiting(self, found: Mapping[tuple[str, str], int]) -> None:
        """Set the counts by domain and queue; those missing are removed."""
        self._reviews_waiting.set_all(found)

    def item(self, state: str) -> None:
        """Count an item of a batch by its result's status, or as `again`."""
        self._items[state,].inc()

    def answer(self, how: Literal["asked", "shared", "kept"]) -> None:
        self._answers[how,].inc()

    def call_started(self, provider: str) -> None:
        self._provider_calls_in_flight[provider,].inc()

    def call_finished(self, provider: str) -> None:
        self._provider_calls_in_flight[provider,].dec()

    def provider_error(self, *, provider: str, kind: str) -> None:
        self._provider_errors[provider, kind].inc()

    def retry(self, provider: str, kind: str) -> None:
        self._retries[provider, kind].inc()

    def admission(self, lane: str, seconds: float) -> None:
        self._admission_seconds[lane,].observe(seconds)

    def watch_traffic(self, states: Callable[[], Iterable[Any]]) -> None:
        """Call `states` (of `app.traffic.ProviderState`) at every scrape."""
        if self.enabled:
            self.registry.register(Traffic(states))

    def watch_checks(self, passed: Callable[[], Mapping[str, bool]]) -> None:
        """Call `passed` at every scrape for the results of the last checks."""
        if self.enabled:
            self.registry.register(Checks(passed))

    def watch_sharing(self, connected: Callable[[], bool]) -> None:
        """Call `connected` at every scrape for whether the quota is shared."""
        gauge = self._gauge(
            "quota_shared", "1: quota is counted in Redis; 0: this process counts alone."
        )
        gauge.set_function(lambda: float(connected()))

    def tokens(
        self, *, deployment: str, domain: str, prompt: int, completion: int, parts: dict[str, int]
    ) -> None:
        self._tokens[deployment, domain, "prompt"].inc(prompt)
        self._tokens[deployment, domain, "completion"].inc(completion)
        for part, count in parts.items():
            self._token_parts[deployment, domain, part].inc(count)

    def cost(self, *, deployment: str, domain: str, usd: Decimal) -> None:
        self._cost[deployment, domain].inc(float(usd))

    def webhook_attempt(self, outcome: str) -> None:
        self._webhook_attempts[outcome,].inc()

    def webhook_delivered(self, seconds: float) -> None:
        self._webhook_seconds.observe(seconds)

    def webhook_disabled(self, why: Literal["failing", "gone"]) -> None:
        self._webhooks_disabled[why,].inc()

    def webhooks_pending(self, count: int) -> None:
        self._webhooks_pending.set(count)

    def event_loop_lag(self, seconds: float) -> None:
        self._lag.observe(seconds)

    def alerts(self, counts: Mapping[tuple[str, str, str], int]) -> None:
        """Set the counts by rule, severity and state; those missing are removed."""
        self._alerts.set_all(counts)

    def drift(self, found: Mapping[tuple[str, str], float]) -> None:
        """Set drift by domain and by what drifted; those missing are removed."""
        self._drift.set_all(found)

    def calibration_errors(self, found: Mapping[tuple[str, str], float]) -> None:
        """Set errors by domain and provider; those missing are removed."""
        self._calibration_errors.set_all(found)

    def examples_aside(self, counts: Mapping[str, int]) -> None:
        """Set the counts by domain; those missing are removed."""
        self._examples_aside.set_all({(domain,): count for domain, count in counts.items()})

    def alert_message(self, *, taken: bool) -> None:
        self._alert_messages["taken" if taken else "failed",].inc()

    def config_reload(self, *, succeeded: bool) -> None:
        self._config_reloads["taken" if succeeded else "refused",].inc()

    def _counters(self, name: str, text: str, labels: list[str]) -> Family:
        return Family(labels, self._made(Counter, name, text, labels))

    def _gauges(self, name: str, text: str, labels: list[str]) -> Family:
        return Family(labels, self._made(Gauge, name, text, labels))

    def _histograms(self, name: str, text: str, labels: list[str]) -> Family:
        made = self._made(Histogram, name, text, labels, buckets=STAGE_BUCKETS)
        return Family(labels, made)

    def _gauge(self, name: str, text: str) -> Gauge | Unmeasured:
        return self._made(Gauge, name, text)

    def _made(
        self, kind: type[M], name: str, text: str, labels: Iterable[str] = (), **options: Any
    ) -> M | Unmeasured:
        if not self.enabled:
            return UNMEASURED
        return kind(f"classifier_{name}", text, labels, registry=self.registry, **options)


class Scrape(Collector):
    """All metrics at one moment."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """The body of the answer, and its media type: OpenMetrics with exemplars, where `accept`
        names that, else Prometheus' text format. For a hundred domains this takes 50 ms: call it
        outside the event loop."""
        if "application/openmetrics-text" in accept:
            told: bytes = openmetrics.generate_latest(self)  # type: ignore[no-untyped-call]
            return told, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self), CONTENT_TYPE_PLAIN_0_0_4


def _known(kind: str) -> str:
    return kind if kind in KINDS else "other"
