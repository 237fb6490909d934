"""Models of reports on batches, and of queries about existing ones."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api.exports import FileQuery
from app.api.paging import Limit, NextCursor, NextNumber, page_cursor
from app.budget import Amount
from app.identifiers import BATCH_PATTERN
from app.result import Result
from app.storage import BatchItem, BatchReport, BatchStatus
from app.traffic import Lane


class BatchPage(BaseModel):
    """Batches, the newest first."""

    batches: list[BatchReport]
    next_cursor: NextCursor


class ItemReport(BaseModel):
    """An item, and its result if there is one."""

    number: int = Field(description="Position in the batch, from 0.", examples=[0])
    item_id: str = Field(examples=["rose-17"])
    same_as: int | None = Field(
        description="Number of an earlier item with the same picture.", examples=[None]
    )
    result: Result | None

    @classmethod
    def of(cls, item: BatchItem, result: Result | None) -> Self:
        return cls(number=item.number, item_id=item.item_id, same_as=item.same_as, result=result)


class ItemPage(BaseModel):
    """Items in order."""

    items: list[ItemReport]
    next_after: NextNumber


class BadRowReport(BaseModel):
    """A row or file that is not a valid item."""

    number: int = Field(examples=[0])
    place: str = Field(description="A line, or the name of a file.", examples=["line 7"])
    reason: str = Field(examples=["image_url: is no http or https URL"])


class BadRowPage(BaseModel):
    """Bad rows in order."""

    errors: list[BadRowReport]
    next_after: NextNumber


class After(BaseModel):
    """Where a page begins."""

    model_config = ConfigDict(extra="forbid")
    after: int = Field(-1, ge=-1, description="Number of the last entry already received.")
    limit: Limit = 100


class BadRowQuery(After, FileQuery):
    """Where a page begins; all formats but `json` have all of them."""


class BatchChange(BaseModel):
    """What to change in a batch."""

    model_config = ConfigDict(extra="forbid")
    lane: Lane | None = Field(None, description="Null: unchanged.", examples=["interactive"])
    budget_usd: Amount | None = Field(
        None, description="US dollars that the batch may cost; null: no limit.", examples=[50]
    )

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.lane is None and "budget_usd" not in self.model_fields_set:
            raise ValueError("either lane or budget_usd is needed")
        return self


class BatchQuery(BaseModel):
    """Which batches, and where a page begins."""

    model_config = ConfigDict(extra="forbid")
    status: list[BatchStatus] = Field(
        [], description="Only batches with this status; may be repeated."
    )
    cursor: str | None = page_cursor(BATCH_PATTERN)
    limit: Limit = 100
