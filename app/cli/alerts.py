"""`alerts`: lists alerts and the rules behind them."""

import asyncio
import sys
from datetime import UTC, datetime

from app.alerts import Rule, prometheus_rules, read_rules, written
from app.cli.output import age, on_terminal, print_json, print_lines, print_table
from app.cli.start import start
from app.parts import build_parts
from app.settings import Settings
from app.storage.alerts import AlertRow, AlertState
from app.yaml_file import config_dir

HEADS = ("rule", "subject", "state", "severity", "value", "threshold", "age")
RULE_HEADS = ("rule", "severity", "fires", "window", "for", "description")


def list_alerts(state: AlertState | None, limit: int, *, as_json: bool) -> None:
    """Raises StorageUnavailable."""
    found = asyncio.run(_alerts(start(log_level="warning"), state, limit))
    if as_json:
        for each in found:
            print_json(each.report().model_dump(mode="json"))
    elif on_terminal():
        now = datetime.now(UTC)
        print_table(HEADS, [_cells(each, now) for each in found])
    else:
        print_lines(_fields(each) for each in found)


def rules(*, as_json: bool, prometheus: bool) -> None:
    """The rules of config/alerts.yaml. Raises ConfigurationError."""
    thresholds = start(log_level="warning").monitoring.alert_thresholds
    found = read_rules(config_dir() / "alerts.yaml", thresholds)
    if prometheus:
        sys.stdout.write(prometheus_rules(found))
    elif as_json:
        for each in found:
            print_json(dict(zip(RULE_HEADS, _rule(each), strict=True)))
    elif on_terminal():
        print_table(RULE_HEADS, [_rule(each) for each in found])
    else:
        print_lines(_rule(each) for each in found)


async def _alerts(settings: Settings, state: AlertState | None, limit: int) -> list[AlertRow]:
    async with build_parts(settings) as parts:
        return await parts.alerting.stored.page(state, limit=limit)


def _fields(alert: AlertRow) -> tuple[object, ...]:
    return (
        *(alert.rule, alert.subject, alert.state, alert.severity),
        *(alert.value, alert.threshold, alert.since, alert.resolved_at),
    )


def _cells(alert: AlertRow, now: datetime) -> list[str]:
    return [
        *(alert.rule, alert.subject, alert.state, alert.severity),
        *(f"{alert.value:.4g}", f"{alert.threshold:g}"),
        age((now - alert.since).total_seconds()),
    ]


def _rule(rule: Rule) -> list[str]:
    fires = f"{rule.signal} {rule.side} {rule.threshold:g}"
    window = written(rule.window) if rule.window else ""
    return [rule.name, rule.severity, fires, window, written(rule.lasting), rule.description]
