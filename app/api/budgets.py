"""`/budgets`: how much calls may cost."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.api.dependencies import Caller, Joined, Operator
from app.api.raising import Raises
from app.budget import NAME_PATTERN, Budget, BudgetSpec, budget_of_batch
from app.errors import BatchNotFound, BudgetNotFound, BudgetReadOnly
from app.identifiers import BATCH
from app.moment import EPOCH
from app.parts import Parts
from app.result import UsdAmount
from app.storage import BudgetState

router = APIRouter(prefix="/budgets", tags=["budgets"])

MAX_BUDGETS = 1_000

BudgetName = Annotated[
    str, Path(max_length=64, examples=["shop-per-month"]), Raises(BudgetNotFound)
]
NewBudgetName = Annotated[str, Path(pattern=NAME_PATTERN, examples=["shop-per-month"])]


class BudgetReport(BudgetSpec):
    """A budget, and how much of it is spent in the current period."""

    name: str = Field(examples=["shop-per-month"])
    source: Literal["settings", "api", "batch"] = Field(
        description="`settings`: read-only here. `batch`: the batch's own, see /batches."
    )
    starts_at: datetime | None = Field(examples=["2026-01-01T00:00:00Z"])
    resets_at: datetime | None = Field(
        description="When the next period begins; null: never.", examples=["2026-02-01T00:00:00Z"]
    )
    spent_usd: UsdAmount = Field(
        description="Spent in this period, up to the last call.", examples=[12.5]
    )
    reserved_usd: UsdAmount = Field(
        description="Reserved for calls in flight, and for the next ones of each process.",
        examples=[0.02],
    )
    left_usd: UsdAmount = Field(description="Neither spent nor reserved.", examples=[37.48])
    share_spent: float = Field(
        description="Share of the amount that is spent, 0 to 1; more is possible if `action` is "
        "`alert`."
    )

    @classmethod
    def of(cls, state: BudgetState, source: Literal["settings", "api", "batch"]) -> Self:
        budget, starts_at = state.budget, state.starts_at
        left = budget.amount_usd - state.spent - state.reserved
        return cls(
            **{name: getattr(budget, name) for name in (*BudgetSpec.model_fields, "name")},
            source=source,
            starts_at=starts_at if starts_at > EPOCH else None,
            resets_at=budget.resets_at(starts_at),
            spent_usd=state.spent,
            reserved_usd=state.reserved,
            left_usd=max(Decimal(0), left),
            share_spent=round(float(state.spent / budget.amount_usd), 6),
        )


class BudgetList(BaseModel):
    budgets: list[BudgetReport]


class BudgetSet(BaseModel):
    """All budgets that are not in the settings."""

    model_config = ConfigDict(extra="forbid")
    budgets: list[Budget] = Field(max_length=MAX_BUDGETS)

    @field_validator("budgets")
    @classmethod
    def _have_names(cls, budgets: list[Budget]) -> list[Budget]:
        if len({each.name for each in budgets}) < len(budgets):
            raise ValueError("a name is there twice")
        return budgets


@router.get("")
async def list_budgets(parts: Joined, caller: Caller) -> BudgetList:
    """List all budgets, those of the settings first; callers who are not operators see only their
    own."""
    seen = [each for each in parts.books.budgets.all if caller.sees in (None, each.caller)]
    return BudgetList(budgets=await _reports(parts, seen))


@router.put("")
@Raises(BudgetReadOnly)
async def replace_budgets(wanted: BudgetSet, parts: Joined, operator: Operator) -> BudgetList:
    """Replace all budgets, except those of the settings."""
    await parts.books.budgets.put(*wanted.budgets, only=True, by=operator.by)
    return await list_budgets(parts, operator)


@router.get("/{name}")
@Raises(BatchNotFound)
async def get_budget(name: BudgetName, parts: Joined, caller: Caller) -> BudgetReport:
    """Get one budget; a batch's budget has the batch's id as its name."""
    if name.startswith(f"{BATCH}_"):
        budget = await _of_batch(parts, name, caller.sees)
    else:
        budget = parts.books.budgets.find(name)
        if caller.sees not in (None, budget.caller):
            raise BudgetNotFound(f"There is no budget {name!r}.")
    return (await _reports(parts, [budget]))[0]


@router.put("/{name}")
@Raises(BudgetReadOnly)
async def put_budget(
    name: NewBudgetName, spec: BudgetSpec, parts: Joined, operator: Operator
) -> BudgetReport:
    """Create or change a budget: what was spent stays spent."""
    budget = Budget(name=name, **spec.model_dump())
    await parts.books.budgets.put(budget, by=operator.by)
    return (await _reports(parts, [budget]))[0]


@router.delete("/{name}", status_code=204)
@Raises(BudgetReadOnly)
async def delete_budget(name: BudgetName, parts: Joined, operator: Operator) -> None:
    """Delete a budget. Calls in flight are not held back."""
    await parts.books.budgets.delete(name, by=operator.by)


async def _of_batch(parts: Parts, batch_id: str, caller: str | None) -> Budget:
    batch = await parts.batches.get(batch_id, caller=caller)
    budget = budget_of_batch(batch.id, batch.budget_usd, caller=batch.caller, domain=batch.domain)
    if budget is None:
        raise BudgetNotFound("The batch has no budget.")
    return budget


async def _reports(parts: Parts, budgets: Sequence[Budget]) -> list[BudgetReport]:
    configured = {each.name for each in parts.books.budgets.configured}

    def source(budget: Budget) -> Literal["settings", "api", "batch"]:
        if budget.batch_id is not None:
            return "batch"
        return "settings" if budget.name in configured else "api"

    states = await parts.books.budgets.states(budgets)
    return [BudgetReport.of(each, source(each.budget)) for each in states]
