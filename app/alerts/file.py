"""config/alerts.yaml: the rules for alerting operators, read again when the file changes."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

import structlog
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    field_validator,
    model_validator,
)

from app.alerts.rule import Duration, Rule, Severity
from app.alerts.signals import OWN, signals
from app.domains import NAME_PATTERN
from app.errors import ConfigurationError, ConfigurationRefused
from app.settings_groups import AlertThresholds
from app.yaml_file import YamlFile

log = structlog.stdlib.get_logger(__name__)

DomainName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]


class RuleSpec(BaseModel):
    """One rule, as written in the file."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    signal: str = Field(
        description=f"What is measured: {', '.join(OWN)}, or a signal of a package."
    )
    above: float | None = Field(None, description="Out of bounds above this value.")
    below: float | None = Field(None, description="Out of bounds below this value.")
    window: Duration | None = Field(
        None, description="Time span measured: `10m`, `24h`, `7d`; at most `400d`."
    )
    lasting: Duration = Field(
        timedelta(0), alias="for", description="Time out of bounds before the alert fires."
    )
    severity: Severity = Field(description="`info`, `warning` or `critical`.")
    domains: tuple[DomainName, ...] = Field((), description="Only these domains; empty: all.")
    at_least: int = Field(
        0, ge=0, description="Results or labels in the window below which the rule has no data."
    )
    description: str = Field(
        min_length=1, max_length=500, description="What the alert means, in a sentence."
    )
    runbook: str = Field(
        pattern=r"^([a-z0-9-]{1,100}|https?://\S{1,1000})$",
        description="What to do: a heading of docs/monitoring.md, or a URL.",
    )

    @field_validator("signal")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in signals():
            raise ValueError(f"{value!r} is none of {', '.join(signals())}")
        return value

    @model_validator(mode="after")
    def _suits_its_signal(self) -> Self:
        signal = signals()[self.signal]
        thresholds = [each for each in (self.above, self.below) if each is not None]
        if signal.promised is not None and thresholds:
            raise ValueError(
                f"the threshold of {self.signal} is the setting "
                f"monitoring.alert_thresholds.{self.signal}"
            )
        if signal.promised is None and len(thresholds) != 1:
            raise ValueError("needs either above or below")
        if signal.windowed and not self.window:
            raise ValueError(f"{self.signal} needs a window")
        if not signal.windowed and self.window is not None:
            raise ValueError(f"{self.signal} has no window")
        if self.domains and signal.subject != "domain":
            raise ValueError(f"{self.signal} is not told by domain")
        if self.at_least and not signal.windowed:
            raise ValueError(f"{self.signal} has nothing that at_least could count")
        return self

    def rule(self, name: str, thresholds: AlertThresholds) -> Rule:
        signal = signals()[self.signal]
        if signal.promised is not None:
            side, threshold = signal.promised, getattr(thresholds, self.signal)
        elif self.above is not None:
            side, threshold = "above", self.above
        else:
            side, threshold = "below", self.below
        return Rule(
            name=name,
            signal=self.signal,
            side=side,
            threshold=threshold,
            window=self.window,
            lasting=self.lasting,
            severity=self.severity,
            of_domains=signal.subject == "domain",
            domains=frozenset(self.domains),
            at_least=self.at_least,
            description=self.description,
            runbook=self.runbook if "://" in self.runbook else f"{MANUAL}#{self.runbook}",
        )


MANUAL = "docs/monitoring.md"

_ADAPTER = TypeAdapter(
    dict[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")], RuleSpec],
)


def read_rules(path: Path, thresholds: AlertThresholds) -> tuple[Rule, ...]:
    """Raises ConfigurationError with file, line, key and reason of every error."""
    specs = YamlFile.read(path).validate(_ADAPTER)
    return tuple(spec.rule(name, thresholds) for name, spec in specs.items())


class Rules:
    """The rules in the file, or those of its last valid version."""

    def __init__(self, path: Path, thresholds: AlertThresholds) -> None:
        """Raises ConfigurationError when the file is invalid."""
        self._path = path
        self._thresholds = thresholds
        self.all = read_rules(path, thresholds)

    def reload_file(self) -> None:
        """Read the file again. When it is invalid, the last valid version stays in force, and this
        raises ConfigurationRefused."""
        try:
            self.all = read_rules(self._path, self._thresholds)
        except ConfigurationError as error:
            log.error("alert rules not reloaded, the last good ones stay", reason=str(error))  # noqa: TRY400
            raise ConfigurationRefused(str(error)) from error
        log.info("alert rules reloaded", rules=[each.name for each in self.all])
