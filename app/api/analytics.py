"""`/analytics`: what happened."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.analytics import CostReport, as_csv
from app.api.dependencies import Caller, Joined
from app.storage import Grouping

router = APIRouter(prefix="/analytics", tags=["analytics"])

AS_CSV: dict[str, Any] = {"text/csv": {"schema": {"type": "string"}}}


class CostQuery(BaseModel):
    """Which costs, and how they are grouped."""

    model_config = ConfigDict(extra="forbid")
    by: Grouping = Field("day", description="What each group has in common.")
    since: AwareDatetime | None = Field(
        None, description="From this hour on (UTC); unset: since the month began."
    )
    until: AwareDatetime | None = Field(None, description="Before this hour; unset: no end.")
    domain: str | None = Field(None, examples=["flowers"])
    caller: str | None = Field(None, description="For operators; others see only their own.")
    form: Literal["json", "csv"] = Field("json", alias="format", description="`csv`: the groups.")


@router.get("/cost", response_model=CostReport, responses={200: {"content": AS_CSV}})
async def cost(
    query: Annotated[CostQuery, Query()], parts: Joined, caller: Caller
) -> CostReport | Response:
    """What calls cost, and what was saved by making none, down to the last one that is stored."""
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
