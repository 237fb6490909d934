"""A batch as it is told: by the API, and to whoever wants to hear of it."""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, Field

from app.result import UsdAmount
from app.storage.batch_rows import BatchRow, BatchStatus


class ItemCounts(BaseModel):
    """Number of items by what became of them."""

    waiting: int = Field(examples=[40])
    accepted: int = Field(examples=[51])
    needs_review: int = Field(examples=[8])
    failed: int = Field(examples=[1])


class BatchReport(BaseModel):
    """A batch, and its progress."""

    id: str = Field(examples=["bat_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])
    name: str | None = Field(examples=["March returns"])
    domain: str = Field(examples=["flowers"])
    provider: str | None = Field(examples=[None])
    lane: Literal["interactive", "batch"] = Field(examples=["batch"])
    batch_size: int = Field(examples=[10])
    on_error: Literal["continue", "stop"] = Field(examples=["continue"])
    deadline: datetime | None = Field(examples=[None])
    caller: str = Field(examples=["anonymous"])
    status: BatchStatus = Field(examples=["running"])
    reason: str | None = Field(description="Why it ended early or was paused.", examples=[None])
    resumes_at: datetime | None = Field(
        description="When it resumes by itself, because its budget is reset then.", examples=[None]
    )
    total: int = Field(description="Number of items.", examples=[100])
    duplicates: int = Field(
        description="Items with the same picture as an earlier one.", examples=[3]
    )
    bad_rows: int = Field(
        description="Rows and files that are not valid items: see `errors`.", examples=[0]
    )
    counts: ItemCounts
    done: int = Field(description="Items with a result.", examples=[60])
    per_second: float | None = Field(
        description="Items per second, since the batch began, or was last resumed or retried.",
        examples=[9.8],
    )
    eta_s: float | None = Field(description="Estimated seconds until it is done.", examples=[4.1])
    prompt_tokens: int = Field(examples=[12_840])
    completion_tokens: int = Field(examples=[300])
    cost_usd: UsdAmount = Field(description="US dollars so far.", examples=[0.0351])
    budget_usd: UsdAmount | None = Field(
        description="US dollars that it may cost; then it is paused.", examples=[None]
    )
    projected_cost_usd: UsdAmount | None = Field(
        description="Estimated cost of the whole batch, at the cost per item so far.",
        examples=[0.0585],
    )
    accuracy: float | None = Field(
        description="Share of right answers among those whose true class is known.",
        examples=[0.97],
    )
    created_at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])
    started_at: datetime | None = Field(examples=["2026-01-02T03:04:05.779Z"])
    completed_at: datetime | None = Field(examples=[None])

    @classmethod
    def of(cls, batch: BatchRow, now: datetime) -> Self:
        seconds, counted = _seconds(batch, now), batch.done - batch.paced_done
        per_second = counted / seconds if seconds and counted else None
        left = batch.total - batch.done
        return cls(
            **{name: getattr(batch, name) for name in _SAME},
            counts=ItemCounts(
                waiting=left,
                accepted=batch.accepted,
                needs_review=batch.needs_review,
                failed=batch.failed,
            ),
            per_second=None if per_second is None else round(per_second, 3),
            eta_s=round(left / per_second, 1) if per_second and not batch.is_over else None,
            projected_cost_usd=batch.cost_usd * batch.total / batch.done if batch.done else None,
            accuracy=batch.correct / batch.expected if batch.expected else None,
        )


_SAME = BatchReport.model_fields.keys() - {
    *("counts", "per_second", "eta_s", "projected_cost_usd", "accuracy")
}


def _seconds(batch: BatchRow, now: datetime) -> float:
    """How long it has been worked on without a pause."""
    if batch.paced_from is None:
        return 0.0
    return ((batch.completed_at or now) - batch.paced_from).total_seconds()
