"""Notifies people through any service that Apprise supports: chat, mail, pagers. The URLs of
targets are never logged or returned: most contain a secret."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from pydantic import SecretStr

from app.alerts.signals import Unit, signals
from app.errors import ConfigurationError
from app.storage.alerts import AlertRow

if TYPE_CHECKING:
    from apprise import Apprise, NotifyType

WITHIN_S = 10.0
"""Time for each target to accept a message."""

MOST_LINES = 20
"""Of one message; further alerts are only counted."""

_RANK = ("info", "warning", "critical")


@dataclass(frozen=True, slots=True)
class Target:
    """
    Attributes:
        number: position of its URL in the setting, from 1.
        name: key under which sent alerts are recorded; reveals nothing of its URL.
    """

    number: int
    name: str
    service: "Apprise" = field(repr=False)

    async def tell(self, alerts: Sequence[AlertRow]) -> bool:
        """Send all alerts in one message; return whether it was accepted in time."""
        title, body = message(alerts)
        try:
            async with asyncio.timeout(WITHIN_S):
                return bool(
                    await self.service.async_notify(
                        body=body, title=title, notify_type=_kind(alerts)
                    )
                )
        except Exception:  # a plug-in's own exception, which may contain the URL
            return False


def open_targets(urls: Sequence[SecretStr]) -> tuple[Target, ...]:
    """Raises ConfigurationError when Apprise does not know a URL, or is not installed."""
    if not urls:
        return ()
    try:
        from apprise import Apprise
    except ImportError:
        raise ConfigurationError(
            "monitoring.notify needs the extra `alerts`: pip install apprise"
        ) from None
    # Apprise and its libraries log hosts, paths and payloads, any of which may contain secrets.
    for name in ("apprise", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    targets = []
    for number, secret in enumerate(urls, 1):
        url = secret.get_secret_value()
        service = Apprise()
        if not service.add(url):
            raise ConfigurationError(
                f"monitoring.notify: number {number} is no URL that Apprise understands"
            )
        targets.append(Target(number, sha256(url.encode()).hexdigest()[:12], service))
    return tuple(targets)


def message(alerts: Sequence[AlertRow]) -> tuple[str, str]:
    """Return title and body."""
    if len(alerts) == 1:
        (only,) = alerts
        return _headline(only), _line(only)
    firing = sum(each.state == "firing" for each in alerts)
    counts = ((firing, "firing"), (len(alerts) - firing, "resolved"))
    title = ", ".join(f"{count} {state}" for count, state in counts if count)
    lines = [f"{_headline(each)}: {_line(each)}" for each in alerts[:MOST_LINES]]
    if len(alerts) > MOST_LINES:
        lines.append(f"and {len(alerts) - MOST_LINES} more: GET /alerts")
    return f"Alerts: {title}", "\n".join(lines)


def _headline(alert: AlertRow) -> str:
    state = alert.severity if alert.state == "firing" else "resolved"
    return f"[{state}] {alert.rule}{f' of {alert.subject}' if alert.subject else ''}"


def _line(alert: AlertRow) -> str:
    signal = signals().get(alert.signal)
    unit = signal.unit if signal else ""
    value, threshold = (_shown(each, unit) for each in (alert.value, alert.threshold))
    line = f"{alert.description} {value}, threshold {threshold}, since {_minute(alert.since)}"
    if alert.state == "firing":
        return f"{line}. What to do: {alert.runbook}"
    until = f"{line} until {_minute(alert.resolved_at or alert.seen_at)}"
    return f"{until}; there is no more data." if alert.reason == "no_data" else f"{until}."


def _shown(value: float, unit: Unit) -> str:
    if unit == "share":
        return f"{value:.1%}"
    return f"{value:.4g} {unit}".strip()


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _kind(alerts: Sequence[AlertRow]) -> "NotifyType":
    """The type of the most severe alert."""
    from apprise import NotifyType

    firing = [each.severity for each in alerts if each.state == "firing"]
    kinds = (NotifyType.INFO, NotifyType.WARNING, NotifyType.FAILURE)
    return kinds[max(map(_RANK.index, firing))] if firing else NotifyType.SUCCESS
