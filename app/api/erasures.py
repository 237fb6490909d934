"""`/callers/{name}/data`: all data of one caller."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from app.api.dependencies import Joined, Operator
from app.settings_groups import CALLER_PATTERN
from app.storage.erasures import Erasure

router = APIRouter(prefix="/callers", tags=["operations"])

WITHIN_S = 20.0
"""Seconds until the answer; an erasure that takes longer continues after it."""

CallerName = Annotated[str, Path(pattern=CALLER_PATTERN, examples=["shop"])]


class ErasureReport(BaseModel):
    """Progress of an erasure."""

    caller: str = Field(examples=["shop"])
    asked_at: datetime = Field(
        description="When the erasure was requested; newer data is not erased.",
        examples=["2026-01-02T03:04:05.678Z"],
    )
    done: bool = Field(description="False: the erasure continues by itself.", examples=[True])
    erased: dict[str, int] = Field(
        description="Rows and pictures erased so far, by kind.",
        examples=[{"results": 412, "pictures": 7}],
    )

    @classmethod
    def of(cls, erasure: Erasure) -> Self:
        return cls(
            caller=erasure.caller,
            asked_at=erasure.asked_at,
            done=erasure.ended_at is not None,
            erased=dict(erasure.counts),
        )


@router.delete("/{name}/data", responses={202: {"model": ErasureReport}})
async def erase_caller(
    name: CallerName, response: Response, parts: Joined, operator: Operator
) -> ErasureReport:
    """Erase all data that a caller has until now, including its running batches: docs/erasure.md
    lists what is erased and what stays. 202: there is much, and the erasure continues by itself;
    the same request then returns its progress."""
    erasure = await parts.erasing.caller(name, operator.by, wait_s=WITHIN_S)
    report = ErasureReport.of(erasure)
    response.status_code = 200 if report.done else 202
    return report
