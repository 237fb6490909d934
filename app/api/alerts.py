"""`/alerts`: what is wrong, what was wrong, and how near each rule is to its threshold."""

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from app.alerts import RuleNow, signals, written
from app.api.dependencies import Joined, Operator
from app.api.raising import Raises
from app.errors import AlertNotFound, ConfigurationRefused
from app.identifiers import ALERT_PATTERN
from app.storage.event_types import AlertReport

router = APIRouter(prefix="/alerts", tags=["operations"])

AlertId = Annotated[
    str,
    Path(pattern=ALERT_PATTERN, examples=["alr_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"]),
    Raises(AlertNotFound),
]


class AlertQuery(BaseModel):
    """Which alerts."""

    model_config = ConfigDict(extra="forbid")
    state: Literal["firing", "pending", "resolved"] | None = Field(
        None, description="Unset: all states."
    )
    limit: int = Field(100, ge=1, le=1_000, description="Maximum number of alerts.")


class AlertList(BaseModel):
    alerts: list[AlertReport]


class ReadingReport(BaseModel):
    """Current reading of a rule for one subject."""

    subject: str = Field(
        description="A domain, a deployment, a check, a webhook's id, or empty if there is only "
        "one subject.",
        examples=["flowers"],
    )
    value: float = Field(examples=[0.93])
    samples: int = Field(
        description="Results, labels or calls that the value is based on.", examples=[412]
    )
    counts: bool = Field(description="False: there are fewer samples than `at_least`.")
    breaks: bool = Field(
        description="Whether the value is on the wrong side of the threshold.", examples=[False]
    )


class RuleReport(BaseModel):
    """A rule of config/alerts.yaml, and its current readings."""

    name: str = Field(examples=["accuracy"])
    signal: str = Field(examples=["accuracy"])
    about: str = Field(description="What the signal measures.")
    unit: str = Field(description="Unit of the values and of the threshold.", examples=["share"])
    breaks: Literal["above", "below"] = Field(
        description="The side of the threshold on which the rule is broken.", examples=["below"]
    )
    threshold: float = Field(examples=[0.8])
    window: str | None = Field(
        description="How far back it looks; null: only at the present state.", examples=["24h"]
    )
    lasting: str = Field(
        description="How long the rule must be broken before it fires.", examples=["2m"]
    )
    severity: Literal["info", "warning", "critical"] = Field(examples=["critical"])
    domains: list[str] = Field(description="Only these domains; empty: all.", examples=[[]])
    at_least: int = Field(
        description="Minimum number of samples; readings with fewer do not count.", examples=[30]
    )
    description: str = Field(examples=["Too few answers of this domain are right."])
    runbook: str = Field(examples=["docs/monitoring.md#accuracy"])
    readings: list[ReadingReport] | None = Field(
        description="Null if the signal could not be read."
    )

    @classmethod
    def of(cls, each: RuleNow) -> Self:
        rule, signal = each.rule, signals()[each.rule.signal]
        return cls(
            **{name: getattr(rule, name) for name in _SAME},
            about=signal.about,
            unit=signal.unit,
            breaks=rule.side,
            window=written(rule.window) if rule.window else None,
            lasting=written(rule.lasting),
            domains=sorted(rule.domains),
            readings=None
            if each.readings is None
            else [
                ReadingReport(
                    subject=subject,
                    value=reading.value,
                    samples=reading.samples,
                    counts=rule.counts(reading),
                    breaks=rule.breaks(reading.value),
                )
                for subject, reading in sorted(each.readings.items())
            ],
        )


_SAME = ("name", "signal", "threshold", "severity", "at_least", "description", "runbook")


class RuleList(BaseModel):
    rules: list[RuleReport]


@router.get("")
async def list_alerts(
    query: Annotated[AlertQuery, Query()], parts: Joined, _: Operator
) -> AlertList:
    """List alerts: those that fire first, then those that are pending, then those that resolved;
    the newest first."""
    rows = await parts.alerting.stored.page(query.state, limit=query.limit)
    return AlertList(alerts=[each.report() for each in rows])


@router.get("/rules")
async def alert_rules(parts: Joined, _: Operator) -> RuleList:
    """List the rules in force, and how near each is to its threshold."""
    return RuleList(rules=[RuleReport.of(each) for each in await parts.alerting.now()])


@router.post("/rules/reload")
@Raises(ConfigurationRefused)
async def reload_alert_rules(parts: Joined, operator: Operator) -> RuleList:
    """Read config/alerts.yaml again, in this process. If it is invalid, the last valid version
    stays in force."""
    parts.alerting.rules.reload_file()
    await parts.audit.add(operator.by, "alerts.reloaded")
    return await alert_rules(parts, operator)


@router.get("/{alert_id}")
async def get_alert(alert_id: AlertId, parts: Joined, _: Operator) -> AlertReport:
    """Get one alert."""
    return (await parts.alerting.stored.get(alert_id)).report()
