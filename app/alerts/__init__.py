"""Alerts that tell operators when something is wrong."""

from app.alerts.alerting import Alerting, RuleNow
from app.alerts.file import Rules, RuleSpec, read_rules
from app.alerts.notify import open_targets
from app.alerts.prometheus import prometheus_rules
from app.alerts.rule import Reading, Readings, Rule, written
from app.alerts.signals import Look, Signal, Sources, signals

__all__ = [
    "Alerting",
    "Look",
    "Reading",
    "Readings",
    "Rule",
    "RuleNow",
    "RuleSpec",
    "Rules",
    "Signal",
    "Sources",
    "open_targets",
    "prometheus_rules",
    "read_rules",
    "signals",
    "written",
]
