"""The rules for Prometheus are those of the service, and Prometheus takes them."""

import re
import subprocess
from decimal import Decimal

import pytest
import yaml

from tests.integration.calls import upload
from tests.service import ROOT

FOLDER = ROOT / "config" / "prometheus"
RULES = yaml.safe_load((FOLDER / "alerts.rules.yml").read_text())["groups"][0]["rules"]


@pytest.mark.parametrize(
    "command",
    [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "alerts.rules.yml"],
        ["test", "rules", "alerts.test.yml"],
    ],
    ids=" ".join,
)
def test_prometheus_takes_them(command):
    done = subprocess.run(["promtool", *command], cwd=FOLDER, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout + done.stderr


def test_each_is_fired_and_resolved_by_promtool():
    tests = yaml.safe_load((FOLDER / "alerts.test.yml").read_text())["tests"]
    tried: dict[str, list[bool]] = {}
    for each in tests:
        for step in each["alert_rule_test"]:
            tried.setdefault(step["alertname"], []).append(bool(step.get("exp_alerts")))

    assert tried.keys() == {each["alert"] for each in RULES}
    for steps in tried.values():
        assert (steps[0], any(steps), steps[-1]) == (False, True, False)


def test_it_is_loaded():
    """By the same relative path here and in the container that docker-compose.yml mounts it in."""
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    mounted = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["prometheus"]

    assert config["rule_files"] == ["alerts.rules.yml"]
    assert "./config/prometheus:/etc/prometheus:ro" in mounted["volumes"]


async def test_every_metric_of_a_rule_is_one_of_the_service(client, parts):
    """With the labels by which it is summed or chosen."""
    parts.metrics.drift({("flowers", "classes"): 0.1})
    await parts.health.check()
    await client.post("/classify", files=upload(provider="local", expected="rose"))
    await client.post("/classify", files=upload(provider="local", expected="daisy"))
    parts.metrics.unanswered("flowers", "provider-paused")
    parts.metrics.cost(deployment="west", domain="flowers", usd=Decimal(1))
    parts.metrics.examples_aside({"flowers": 3})  # last: what is stored says that there is none
    samples: dict[str, dict[str, set[str]]] = {}
    for family in parts.metrics.registry.collect():
        for sample in family.samples:
            labels = samples.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)

    for rule in RULES:
        found = re.findall(r"(classifier_\w+)(?:\{(.*?)\})?", rule["expr"])
        assert found or rule["alert"] == "ClassifierDown"  # of a metric of Prometheus' own
        for name, matchers in found:
            assert name in samples, rule["alert"]
            for label in re.findall(r"(\w+)=", matchers):
                assert label in samples[name], (name, label)
        for labels in re.findall(r"by \((.*?)\)", rule["expr"]):
            known = set().union(*(samples[name] for name, _ in found))
            assert set(labels.split(", ")) <= known, rule["alert"]
