"""Exports the same rules to Prometheus."""

from collections.abc import Iterable
from typing import Any

import yaml

from app.alerts.rule import Rule, written
from app.alerts.signals import signals

JOB = "classifier"
"""The job in `scrape_configs`, as config/prometheus/prometheus.yml names it."""

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
"""The alert that only an outside observer can raise."""

HEAD = "# Made from config/alerts.yaml by `python -m app alerts rules --prometheus`.\n\n"


def prometheus_rules(rules: Iterable[Rule]) -> str:
    """A YAML file of alerting rules; one more than the service evaluates: that the service is
    up."""
    groups = [{"name": "classifier", "rules": [*map(_alert, rules), DOWN]}]
    return HEAD + yaml.safe_dump({"groups": groups}, sort_keys=False, width=1_000)


def alert_name(rule: Rule) -> str:
    """`ClassifierResponseTime`: prefixed, as the same Prometheus may have rules of other
    services."""
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
    """Escape the text, since annotations are templates."""
    return text.replace("{{", '{{ "{{" }}')
