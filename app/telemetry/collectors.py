"""Metrics whose values are read at the moment of a scrape."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

BREAKER_STATES = ("closed", "open", "half_open")


class Traffic(Collector):
    """Metrics of `app.traffic.ProviderState`."""

    def __init__(self, states: Callable[[], Iterable[Any]]) -> None:
        self._states = states

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        waiting = _gauge("waiting_calls", "Calls that wait for quota.", ["provider", "lane"])
        of = ["provider", "deployment"]
        in_flight = _gauge("deployment_calls_in_flight", "Calls under way, by deployment.", of)
        breaker = _gauge(
            "deployment_breaker",
            "1 for the state of the deployment's circuit breaker.",
            [*of, "state"],
        )
        left = _gauge(
            "deployment_quota_left_ratio",
            "Share of the quota window that is left, 0 to 1.",
            [*of, "dimension"],
        )
        limit = _gauge(
            "deployment_quota_limit",
            "Quota per minute, as currently estimated.",
            [*of, "dimension"],
        )
        latency = _gauge("deployment_latency_seconds", "Running mean of the latency of calls.", of)
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


class Checks(Collector):
    """Results of the last health checks: a scrape does not run any."""

    def __init__(self, passed: Callable[[], Mapping[str, bool]]) -> None:
        self._passed = passed

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        up = _gauge("check_up", "1: the health check passed when last run.", ["check"])
        for check, passed in self._passed().items():
            up.add_metric([check], passed)
        return [up]


def _gauge(name: str, text: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"classifier_{name}", text, labels=labels)
