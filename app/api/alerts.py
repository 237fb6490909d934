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
        None, description="Unset: all of them."
    )
    limit: int = Field(100, ge=1, le=1_000, description="At most so many.")


class AlertList(BaseModel):
    alerts: list[AlertReport]


class ReadingReport(BaseModel):
    """Of one subject of a rule."""

    subject: str = Field(
        description="A domain, a deployment, a check, a webhook's id, or empty where there is only "
        "one.",
        examples=["flowers"],
    )
    value: float = Field(examples=[0.93])
    samples: int = Field(description="Results, labels or calls behind it.", examples=[412])
    counts: bool = Field(description="Or there are fewer samples than `at_least`.")
    breaks: bool = Field(description="On the wrong side of the threshold.", examples=[False])


class RuleReport(BaseModel):
    """A rule of config/alerts.yaml, and what it reads now."""

    name: str = Field(examples=["accuracy"])
    signal: str = Field(examples=["accuracy"])
    about: str = Field(description="What the signal tells.")
    unit: str = Field(description="Of values and threshold.", examples=["share"])
    breaks: Literal["above", "below"] = Field(
        description="The side of the threshold on which it is wrong.", examples=["below"]
    )
    threshold: float = Field(examples=[0.8])
    window: str | None = Field(
        description="How far back it looks; null: at what is now.", examples=["24h"]
    )
    lasting: str = Field(description="How long before it fires.", examples=["2m"])
    severity: Literal["info", "warning", "critical"] = Field(examples=["critical"])
    domains: list[str] = Field(description="Only these; empty: each.", examples=[[]])
    at_least: int = Field(description="Samples; with fewer nothing is said.", examples=[30])
    description: str = Field(examples=["Too few answers of this domain are right."])
    runbook: str = Field(examples=["docs/monitoring.md#accuracy"])
    readings: list[ReadingReport] | None = Field(description="Null when it could not be read.")

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
    """Those that fire first, then those that are pending, then those that resolved; the newest
    first."""
    rows = await parts.alerting.stored.page(query.state, limit=query.limit)
    return AlertList(alerts=[each.report() for each in rows])


@router.get("/rules")
async def alert_rules(parts: Joined, _: Operator) -> RuleList:
    """The rules as they hold now, and how near each is to be broken."""
    return RuleList(rules=[RuleReport.of(each) for each in await parts.alerting.now()])


@router.post("/rules/reload")
@Raises(ConfigurationRefused)
async def reload_alert_rules(parts: Joined, operator: Operator) -> RuleList:
    """Read config/alerts.yaml again, in this process. When it is wrong the last good one stays in
    force."""
    parts.alerting.rules.reload_file()
    await parts.audit.add(operator.by, "alerts.reloaded")
    return await alert_rules(parts, operator)


@router.get("/{alert_id}")
async def get_alert(alert_id: AlertId, parts: Joined, _: Operator) -> AlertReport:
    """One alert."""
    return (await parts.alerting.stored.get(alert_id)).report()
