"""What is asked and told about batches."""

from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api.exports import FileQuery
from app.batches import BatchOptions
from app.identifiers import BATCH_PATTERN
from app.result import Result, UsdAmount
from app.storage import BatchItem, BatchRow, BatchStatus
from app.traffic import Lane

MAX_PAGE = 1_000


class BatchForm(BatchOptions):
    """Options, and where the pictures are when they are not in the form."""

    source: str | None = Field(
        None,
        description="Instead of pictures, a storage URI below `BATCH_SOURCES`: of a folder, a "
        "list, a ZIP or a picture.",
        examples=["s3://bucket/folder/"],
    )

    @property
    def options(self) -> BatchOptions:
        return BatchOptions(**self.model_dump(include=set(BatchOptions.model_fields)))


class BatchJson(BatchForm):
    """A list of pictures by their URLs, or the storage URI where they are."""

    items: list[Any] | None = Field(
        None, min_length=1, description="Pictures, as in the rows of a manifest."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.items is None) == (self.source is None):
            raise ValueError("either items or source is needed")
        return self


class ItemCounts(BaseModel):
    """Items by what became of them."""

    waiting: int = Field(examples=[40])
    accepted: int = Field(examples=[51])
    needs_review: int = Field(examples=[8])
    failed: int = Field(examples=[1])


class BatchReport(BaseModel):
    """A batch, and how far it is."""

    id: str = Field(examples=["bat_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])
    name: str | None = Field(examples=["March returns"])
    domain: str = Field(examples=["flowers"])
    provider: str | None = Field(examples=[None])
    lane: Lane = Field(examples=["batch"])
    batch_size: int = Field(examples=[10])
    on_error: Literal["continue", "stop"] = Field(examples=["continue"])
    deadline: datetime | None = Field(examples=[None])
    caller: str = Field(examples=["anonymous"])
    status: BatchStatus = Field(examples=["running"])
    reason: str | None = Field(description="Why it ended early.", examples=[None])
    total: int = Field(description="Items.", examples=[100])
    duplicates: int = Field(description="Items whose picture is there before.", examples=[3])
    bad_rows: int = Field(description="What is no item: see `errors`.", examples=[0])
    counts: ItemCounts
    done: int = Field(description="Items with a result.", examples=[60])
    per_second: float | None = Field(
        description="Items, since it began, or was last resumed or retried.", examples=[9.8]
    )
    eta_s: float | None = Field(description="Seconds until it is done, about.", examples=[4.1])
    prompt_tokens: int = Field(examples=[12_840])
    completion_tokens: int = Field(examples=[300])
    cost_usd: UsdAmount = Field(description="So far, in US dollars.", examples=[0.0351])
    projected_cost_usd: UsdAmount | None = Field(
        description="All of it, as it went so far.", examples=[0.0585]
    )
    accuracy: float | None = Field(
        description="Share of right answers among those whose true class is known.",
        examples=[0.97],
    )
    created_at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])
    started_at: datetime | None = Field(examples=["2026-01-02T03:04:05.779Z"])
    completed_at: datetime | None = Field(examples=[None])

    @classmethod
    def of(cls, batch: BatchRow) -> Self:
        seconds, counted = _seconds(batch), batch.done - batch.paced_done
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


class BatchPage(BaseModel):
    """Batches, the newest first."""

    batches: list[BatchReport]
    next_cursor: str | None = Field(
        description="Send it as `cursor` to go on; null on the last page.", examples=[None]
    )


class ItemReport(BaseModel):
    """An item, and its result when there is one."""

    number: int = Field(description="Its place in the batch, from 0.", examples=[0])
    item_id: str = Field(examples=["rose-17"])
    same_as: int | None = Field(
        description="The number of an earlier item with the same picture.", examples=[None]
    )
    result: Result | None

    @classmethod
    def of(cls, item: BatchItem, result: Result | None) -> Self:
        return cls(number=item.number, item_id=item.item_id, same_as=item.same_as, result=result)


class ItemPage(BaseModel):
    """Items in their order."""

    items: list[ItemReport]
    next_after: int | None = Field(
        description="Send it as `after` to go on; null on the last page.", examples=[None]
    )


class BadRowReport(BaseModel):
    """What could not be taken for an item."""

    number: int = Field(examples=[0])
    place: str = Field(description="A line, or a file's name.", examples=["line 7"])
    reason: str = Field(examples=["image_url: is no http or https URL"])


class BadRowPage(BaseModel):
    """Bad rows in their order."""

    errors: list[BadRowReport]
    next_after: int | None = Field(examples=[None])


class After(BaseModel):
    """Where a page begins."""

    model_config = ConfigDict(extra="forbid")
    after: int = Field(-1, ge=-1, description="The number of the last one that is known.")
    limit: int = Field(100, ge=1, le=MAX_PAGE)


class BadRowQuery(After, FileQuery):
    """Where a page begins; all formats but `json` have all of them."""


class BatchChange(BaseModel):
    """What can be changed of a batch."""

    model_config = ConfigDict(extra="forbid")
    lane: Lane = Field(examples=["interactive"])


class BatchQuery(BaseModel):
    """Where a page begins."""

    model_config = ConfigDict(extra="forbid")
    cursor: str | None = Field(None, pattern=BATCH_PATTERN, description="`next_cursor`.")
    limit: int = Field(100, ge=1, le=MAX_PAGE)


def _seconds(batch: BatchRow) -> float:
    """That it has been worked on without a pause."""
    if batch.paced_from is None:
        return 0.0
    return ((batch.completed_at or datetime.now(UTC)) - batch.paced_from).total_seconds()
