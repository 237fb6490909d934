"""`/analytics`: what happened."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.analytics import CostReport, QualityReport, as_csv
from app.api.dependencies import Caller, Joined
from app.moment import Moment, TimeUnit
from app.storage import Grouping

router = APIRouter(prefix="/analytics", tags=["analytics"])

AS_CSV: dict[str, Any] = {"text/csv": {"schema": {"type": "string"}}}


class QualityQuery(BaseModel):
    """Which results, and what of their time is told apart."""

    model_config = ConfigDict(extra="forbid")
    domain: str | None = Field(None, examples=["flowers"])
    since: Moment | None = Field(
        None, description="Completed then or later; unset: in the last 24 hours."
    )
    until: Moment | None = Field(None, description="Completed before; unset: no end.")
    by: TimeUnit | None = Field(
        None,
        description="Unit of the series; `since` and `until` are truncated to whole units (UTC). "
        "Unset: minutes for up to 3 hours, hours up to 4 days, days up to 100 days, else months. "
        "Minutes are kept for 26 hours.",
    )
    caller: str | None = Field(
        None,
        min_length=1,
        description="Only this caller's results, for operators; others see only their own.",
    )


@router.get("", response_model=QualityReport)
async def quality(
    query: Annotated[QualityQuery, Query()], parts: Joined, caller: Caller
) -> Response:
    """Report how many results there were, and how sure, right and fast they were, by domain, up to
    the last stored one."""
    report = await parts.qualities.report(
        since=query.since,
        until=query.until,
        by=query.by,
        domain=query.domain,
        caller=query.caller if caller.admin else caller.name,
    )
    # Computing a long one takes the time of many requests.
    content = await asyncio.to_thread(report.model_dump_json)
    return Response(content, media_type="application/json")


class CostQuery(BaseModel):
    """Which costs, and how they are grouped."""

    model_config = ConfigDict(extra="forbid")
    by: Grouping = Field("day", description="What to group by.")
    since: Moment | None = Field(
        None, description="From this hour on (UTC); unset: from the start of the month."
    )
    until: Moment | None = Field(None, description="Before this hour; unset: no end.")
    domain: str | None = Field(None, examples=["flowers"])
    caller: str | None = Field(
        None, description="Only this caller's costs, for operators; others see only their own."
    )
    form: Literal["json", "csv"] = Field(
        "json", alias="format", description="`csv`: only the groups."
    )


@router.get("/cost", response_model=CostReport, responses={200: {"content": AS_CSV}})
async def cost(
    query: Annotated[CostQuery, Query()], parts: Joined, caller: Caller
) -> CostReport | Response:
    """Report what calls cost, and what was saved by making none, up to the last stored one."""
    report = await parts.costs.report(
        query.by,
        since=query.since,
        until=query.until,
        domain=query.domain,
        caller=query.caller if caller.admin else caller.name,
    )
    if query.form == "json":
        return report
    headers = {"Content-Disposition": 'attachment; filename="cost.csv"'}
    return Response(as_csv(report.groups), media_type="text/csv", headers=headers)
