"""`/audit`: who changed what."""

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from app.api.dependencies import Joined, Operator
from app.api.paging import Limit, NextCursor, cut, page_cursor
from app.identifiers import AUDIT_PATTERN
from app.moment import Moment
from app.storage.audit import AuditEntry, AuditFilter

router = APIRouter(prefix="/audit", tags=["operations"])


class AuditReport(BaseModel):
    """A change, and who made it."""

    id: str = Field(examples=["aud_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])
    at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])
    actor: str = Field(
        description="Name of the API key, or `anonymous`, `command line` or `service`.",
        examples=["operator"],
    )
    action: str = Field(examples=["domain.updated"])
    subject: str = Field(
        description="Name or id of what was changed; for an erasure, the caller whose data was "
        "erased.",
        examples=["flowers"],
    )
    change: dict[str, Any] | None = Field(
        description="The fields that differ, as `before` and `after`; null: no details.",
        examples=[{"before": {"detail": "low"}, "after": {"detail": "high"}}],
    )
    request_id: str | None = Field(examples=["req_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])

    @classmethod
    def of(cls, entry: AuditEntry) -> Self:
        return cls(**{name: getattr(entry, name) for name in cls.model_fields})


class AuditPage(BaseModel):
    """Changes, the newest first."""

    entries: list[AuditReport]
    next_cursor: NextCursor


class AuditQuery(BaseModel):
    """Which changes, and where a page begins; what is not given is not asked."""

    model_config = ConfigDict(extra="forbid")
    action: str | None = Field(None, examples=["domain.updated"])
    subject: str | None = Field(None, examples=["flowers"])
    actor: str | None = Field(None, examples=["operator"])
    since: Moment | None = Field(None, description="Made then or later.")
    cursor: str | None = page_cursor(AUDIT_PATTERN)
    limit: Limit = 100


@router.get("")
async def list_changes(
    query: Annotated[AuditQuery, Query()], parts: Joined, operator: Operator
) -> AuditPage:
    """List who changed domains, budgets, webhooks and keys, and who erased whose data; the newest
    first. Entries never change, and are deleted only by age."""
    wanted = AuditFilter(**query.model_dump(include={"action", "subject", "actor", "since"}))
    found = await parts.audit.page(wanted, before=query.cursor, limit=query.limit + 1)
    page, last = cut(found, query.limit)
    return AuditPage(
        entries=[AuditReport.of(each) for each in page], next_cursor=last.id if last else None
    )
