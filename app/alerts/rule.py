"""The definition of an alert rule."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer

Severity = Literal["info", "warning", "critical"]
Side = Literal["above", "below"]

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}

LONGEST = timedelta(days=400)
"""The maximum of windows and waits: somewhat more than a year."""


def _parse(value: object) -> object:
    found = re.fullmatch(r"(\d{1,6})([smhd])", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be a whole number and a unit, such as 30s, 10m, 24h or 7d")
    duration = timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    if duration > LONGEST:
        raise ValueError(f"must be {written(LONGEST)} at most")
    return duration


def written(duration: timedelta) -> str:
    """`10m`, a form that Prometheus also reads."""
    seconds = int(duration.total_seconds())
    fitting = (each for each, length in _UNITS.items() if seconds % length == 0)
    unit = "h" if seconds == _UNITS["d"] else next(fitting)  # 24 hours are not a calendar day
    return f"{seconds // _UNITS[unit]}{unit}" if seconds else "0s"


Duration = Annotated[timedelta, BeforeValidator(_parse), PlainSerializer(written)]


@dataclass(frozen=True, slots=True)
class Reading:
    """
    Attributes:
        value: in the signal's unit.
        samples: number of results, labels or calls that it was computed from.
    """

    value: float
    samples: int = 1


Readings = Mapping[str, Reading]
"""By subject."""


@dataclass(frozen=True, slots=True)
class Rule:
    """
    Attributes:
        signal: its name.
        side, threshold: a reading on this side of the threshold breaks the rule; the threshold
            itself does not.
        window: how far back to look; None: only the current value.
        lasting: how long the rule must be broken before the alert fires.
        of_domains: its subjects are domains.
        domains: only these; empty: all.
        at_least: with fewer samples there is no reading.
        runbook: where to find what to do: a heading of docs/monitoring.md, or a URL.
    """

    name: str
    signal: str
    side: Side
    threshold: float
    window: timedelta | None
    lasting: timedelta
    severity: Severity
    of_domains: bool
    domains: frozenset[str]
    at_least: int
    description: str
    runbook: str

    def covers(self, subject: str) -> bool:
        return not self.domains or subject in self.domains

    def breaks(self, value: float) -> bool:
        return value > self.threshold if self.side == "above" else value < self.threshold

    def counts(self, reading: Reading) -> bool:
        """Whether there are enough samples."""
        return reading.samples >= self.at_least

    def told(self) -> dict[str, Any]:
        """The part of the rule that is stored with an alert."""
        return {
            "signal": self.signal,
            "severity": self.severity,
            "threshold": self.threshold,
            "description": self.description,
            "runbook": self.runbook,
        }
