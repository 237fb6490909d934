"""docs/monitoring.md names what there is, all of it."""

import re

from app.errors import ProviderTimeout
from app.result import Failure, Result, Timings, Usage
from app.telemetry.metrics import Metrics
from app.telemetry.spans import ATTRIBUTES
from app.telemetry.trace import told
from tests.service import ROOT
from tests.unit.telemetry.test_trace import RESULT

PAGE = (ROOT / "docs" / "monitoring.md").read_text()


def section(head: str) -> str:
    return PAGE.partition(f"\n## {head}\n")[2].partition("\n## ")[0]


def registered() -> dict[str, set[str]]:
    """Labels by name, as they are scraped."""
    metrics = Metrics()
    metrics.watch_traffic(lambda: [])
    metrics.watch_checks(lambda: {})
    metrics.watch_sharing(lambda: True)
    found = {}
    for collector in metrics.registry._collector_to_names:
        families = [collector] if hasattr(collector, "_labelnames") else collector.collect()
        for family in families:
            told = family.describe()[0] if hasattr(family, "describe") else family
            suffix = {"counter": "_total", "info": "_info"}.get(told.type, "")
            if told.name.startswith("classifier_"):
                found[told.name + suffix] = set(family._labelnames)
    return found | {"classifier_build_info": {"version"}}


def test_the_page_has_each_metric_with_its_labels():
    rows = re.findall(r"^\| `(classifier_\w+)` \|([^|]*)\|", section("Metrics"), re.MULTILINE)
    on_page = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}

    assert on_page == registered()


def test_the_page_has_each_field_of_a_line():
    facts = {
        "usage": Usage(prompt_tokens=1, completion_tokens=1, cost_usd=1),
        "timings_ms": Timings(fetch=1, prepare=1, wait=1, provider=1, total=1),
        "error": Failure.of(ProviderTimeout("late")),
        "provider": "local",
        "model": "m",
        "deployment": "d",
        "cached": True,
        "degraded": True,
    }
    fields = told(Result(**{**RESULT.__dict__, **facts}))

    assert len(fields) == 20
    assert {each for each in fields if f"`{each}`" not in section("Logs")} == set()


def test_the_page_has_each_attribute_of_a_request():
    known = section("Traces")

    missing = [
        each
        for each in ATTRIBUTES.values()
        if f"`{each}`" not in known and f"`.{each.rpartition('.')[2]}`" not in known
    ]

    assert missing == []
