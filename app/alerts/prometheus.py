"""The same rules for Prometheus."""

from collections.abc import Iterable
from typing import Any

import yaml

from app.alerts.rule import Rule, written
from app.alerts.signals import signals

JOB = "classifier"
"""Of `scrape_configs`, as config/prometheus/prometheus.yml names it."""

DOWN: dict[str, Any] = {
    "alert": "ClassifierDown",
    "expr": f'absent(up{{job="{JOB}"}} == 1)',
    "for": "1m",
    "labels": {"severity": "critical", "rule": "down"},
    "annotations": {
        "summary": "down",
        "description": "No process of the service answers.",
        "runbook": "docs/monitoring.md#down",
    },
}
"""What only somebody else can see."""

HEAD = "# Made from config/alerts.yaml by `python -m app alerts rules --prometheus`.\n\n"


def prometheus_rules(rules: Iterable[Rule]) -> str:
    """A file of alerting rules, YAML; one more than the service evaluates: that it is there."""
    groups = [{"name": "classifier", "rules": [*map(_alert, rules), DOWN]}]
    return HEAD + yaml.safe_dump({"groups": groups}, sort_keys=False, width=1_000)


def alert_name(rule: Rule) -> str:
    """`ClassifierResponseTime`: other services have rules in the same Prometheus."""
    return "Classifier" + "".join(part.capitalize() for part in rule.name.split("_"))


def _alert(rule: Rule) -> dict[str, Any]:
    subject = signals()[rule.signal].subject
    named = {
        "domain": " of {{ $labels.domain }}",
        "deployment": " of {{ $labels.provider }}/{{ $labels.deployment }}",
        "check": " of {{ $labels.check }}",
    }.get(subject, "")
    return {
        "alert": alert_name(rule),
        "expr": signals()[rule.signal].expression(rule),
        **({"for": written(rule.lasting)} if rule.lasting else {}),
        "labels": {"severity": rule.severity, "rule": rule.name},
        "annotations": {
            "summary": f"{rule.name}{named}: {{{{ $value | humanize }}}}",
            "description": _as_written(rule.description),
            "runbook": _as_written(rule.runbook),
        },
    }


def _as_written(text: str) -> str:
    """Annotations are templates."""
    return text.replace("{{", '{{ "{{" }}')
