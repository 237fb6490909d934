"""Telling operators that something is wrong."""

from app.alerts.alerting import Alerting, RuleNow
from app.alerts.file import Rules, RuleSpec, read_rules
from app.alerts.notify import open_targets
from app.alerts.prometheus import prometheus_rules
from app.alerts.rule import Rule, written
from app.alerts.signals import SIGNALS, Sources

__all__ = [
    "SIGNALS",
    "Alerting",
    "Rule",
    "RuleNow",
    "RuleSpec",
    "Rules",
    "Sources",
    "open_targets",
    "prometheus_rules",
    "read_rules",
    "written",
]
