"""Budgets: how much may be spent, by whom, and in which period."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from app.identifiers import BATCH
from app.moment import EPOCH, began, ends

Period = Literal["day", "month", "total"]
Action = Literal["alert", "degrade", "block"]

THRESHOLDS = (50, 80, 100)
"""Per cent of a budget at which its owner is notified."""

Amount = Annotated[
    Decimal,
    Field(gt=0, le=1_000_000, max_digits=18, decimal_places=6),
    PlainSerializer(float, return_type=float, when_used="json"),
]


NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9.-]{0,39}$"
"""Excludes `_`: a batch's own budget is named by the batch's id, which contains one."""


class BudgetSpec(BaseModel):
    """A limit on the cost of calls to providers. Without `domain` and `caller` it covers all
    calls."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    domain: str | None = Field(
        None, description="Only calls about this domain.", examples=["flowers"]
    )
    caller: str | None = Field(None, description="Only this caller's calls.", examples=["shop"])
    period: Period = Field("month", description="In UTC; `total`: never reset.")
    amount_usd: Amount = Field(description="US dollars per period.", examples=[50])
    action: Action = Field(
        "block",
        description="What happens when it is spent: `alert` only notifies, `degrade` has the local "
        "model answer, `block` refuses calls with 429 and pauses batches.",
    )


class Budget(BudgetSpec):
    """A budget with its name."""

    name: str = Field(pattern=NAME_PATTERN, examples=["shop-per-month"])

    @property
    def batch_id(self) -> str | None:
        """The batch whose own budget this is, if it is one."""
        return self.name if self.name.startswith(f"{BATCH}_") else None

    @property
    def is_kept(self) -> bool:
        """Whether calls need to have their cost reserved in it."""
        return self.action != "alert"

    @property
    def is_callers(self) -> bool:
        """Whether it is one caller's, who may see its amounts. Of any other budget, callers only
        learn that it holds back their calls."""
        return self.caller is not None

    def covers(self, *, caller: str, domain: str, batch_id: str | None) -> bool:
        return (
            self.domain in (None, domain)
            and self.caller in (None, caller)
            and self.batch_id in (None, batch_id)
        )

    def covers_as(self, other: "Budget") -> bool:
        """Whether both cover the same calls in the same period."""
        return (self.domain, self.caller, self.period) == (
            other.domain,
            other.caller,
            other.period,
        )

    def starts_at(self, moment: datetime) -> datetime:
        """When the period that `moment` is in starts."""
        if self.period == "total":
            return EPOCH
        return began(moment, self.period)

    def resets_at(self, starts_at: datetime) -> datetime | None:
        """When the period that began at `starts_at` ends; None: it does not."""
        return None if self.period == "total" else ends(starts_at, self.period)


@dataclass(frozen=True, slots=True)
class Payer:
    """On whose account a call is made.

    Attributes:
        budget: the batch's own, if it has one.
    """

    caller: str
    batch_id: str | None = None
    budget: Budget | None = None


def budget_of_batch(
    batch_id: str, amount_usd: Decimal | None, *, caller: str, domain: str
) -> Budget | None:
    """The batch's own budget; None: there is no limit."""
    if amount_usd is None:
        return None
    return Budget.model_construct(
        name=batch_id,
        domain=domain,
        caller=caller,
        period="total",
        amount_usd=amount_usd,
        action="block",
    )
