"""What is counted, and how it is told."""

import asyncio

import pytest

from app.errors import ProviderTimeout
from app.result import Failure, Timings
from app.telemetry.event_loop import LagWatch
from app.telemetry.health import Health
from app.telemetry.metrics import KINDS, Metrics
from tests.unit.telemetry.test_trace import RESULT, TRACE

pytestmark = pytest.mark.virtual_time

OPEN = "application/openmetrics-text;version=1.0.0,text/plain;q=0.3"


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"classifier_{name}", labels)


def finish(metrics: Metrics, trace_id: str = TRACE) -> None:
    metrics.request_finished(
        method="GET", route="/health", status=200, seconds=0.01, trace_id=trace_id
    )


def test_exemplars_are_told_to_whoever_takes_openmetrics():
    metrics = Metrics()
    finish(metrics)
    timed = RESULT.model_copy(update={"timings_ms": Timings(total=20.0)})
    metrics.result(timed, trace_id=TRACE)

    text, kind = metrics.scrape().text(OPEN)
    plain, plain_kind = metrics.scrape().text("text/plain")

    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    told, exemplar = text.decode(), f'# {{trace_id="{TRACE}"}}'
    assert f'http_request_seconds_bucket{{le="0.01",route="/health"}} 1.0 {exemplar}' in told
    timed_at = 'classification_seconds_bucket{domain="flowers",le="0.025"}'
    assert f"{timed_at} 1.0 {exemplar} 0.02" in told
    assert told.endswith("# EOF\n")
    assert plain_kind.startswith("text/plain; version=0.0.4")
    assert TRACE not in plain.decode()


@pytest.mark.parametrize(
    ("expected", "right"), [("rose", "true"), ("daisy", "false"), (None, None)]
)
def test_an_answer_is_right_or_wrong_where_the_truth_is_known(expected, right):
    metrics = Metrics()
    told = {"expected": expected, "expected_source": expected and "request"}
    metrics.result(RESULT.model_copy(update=told), trace_id="")

    for each in ("true", "false"):
        of = {"domain": "flowers", "right": each, "source": "request"}
        found = value(metrics, "labels_total", **of)
        assert found == (1 if each == right else None)


def test_a_failed_result_is_counted_by_kind_and_is_no_answer():
    metrics = Metrics()
    error = Failure.of(ProviderTimeout("No answer within 30.0 s."))
    failed = RESULT.model_copy(update={"status": "failed", "error": error})
    metrics.result(failed, trace_id="")

    of = {"domain": "flowers", "kind": "provider-timeout"}
    assert value(metrics, "failed_results_total", **of) == 1
    labels = {"domain": "flowers", "right": "true", "source": "request"}
    assert value(metrics, "labels_total", **labels) is None


def test_what_a_plug_in_calls_its_failure_makes_no_series():
    class Odd4711(ProviderTimeout):
        pass

    metrics = Metrics()
    failed = RESULT.model_copy(update={"status": "failed", "error": Failure.of(Odd4711("x"))})
    metrics.result(failed, trace_id="")

    assert value(metrics, "failed_results_total", domain="flowers", kind="other") == 1
    assert "provider-timeout" in KINDS


def test_where_metrics_are_off_nothing_is_measured():
    metrics = Metrics(enabled=False)
    finish(metrics)
    metrics.result(RESULT, trace_id=TRACE)
    metrics.event_loop_lag(0.1)
    metrics.watch_checks(lambda: {"storage": True})

    assert [each.name for each in metrics.registry.collect()] == ["classifier_build"]


def test_the_process_is_measured():
    names = {each.name for each in Metrics().registry.collect()}

    assert {"process_cpu_seconds", "python_info", "python_gc_collections"} <= names


async def test_a_scrape_tells_what_checks_said_last_and_runs_none():
    runs, metrics, health = [], Metrics(), Health()
    metrics.watch_checks(lambda: health.passed)

    async def up() -> None:
        runs.append("up")

    async def down() -> None:
        raise OSError

    health.register("storage", up, "Nothing can be taken.")
    health.register("quota", down, "Each for itself.", essential=False)
    before = value(metrics, "check_up", check="storage")
    await health.check()
    metrics.scrape().text()

    assert before is None
    assert runs == ["up"]
    assert value(metrics, "check_up", check="storage") == 1
    assert value(metrics, "check_up", check="quota") == 0


async def test_an_event_loop_in_time_has_no_lag():
    metrics = Metrics()
    watch = LagWatch(metrics)
    watch.start()
    await asyncio.sleep(5.1)
    watch.stop()
    await asyncio.sleep(5)

    assert value(metrics, "event_loop_lag_seconds_count") == 10
    assert value(metrics, "event_loop_lag_seconds_bucket", le="0.001") == 10
