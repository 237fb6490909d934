"""What was spent, what was saved, and what the month is expected to cost."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import reduce
from operator import getitem
from typing import Self

from pydantic import BaseModel, Field

from app.exports import Layout, columns_of, find_format
from app.moment import DAY, HOUR, began, ends, within_reach
from app.result import UsdAmount
from app.storage import CostRepository, Grouping, Pace, Spending, Sums
from app.storage.costs import BASIS, Key


class Saved(BaseModel):
    """Answers for which a call was saved."""

    answers: int = Field(examples=[120])
    usd: UsdAmount = Field(
        description="Cost of the calls that were saved, in US dollars.", examples=[0.0702]
    )


class Savings(BaseModel):
    """Costs of calls that were not made."""

    cache: Saved = Field(description="Answers to earlier requests, from the cache.")
    coalescing: Saved = Field(description="Answers shared with a concurrent request.")
    duplicates: Saved = Field(
        description="Answers shared by items of a batch with the same picture."
    )
    cascade: Saved = Field(
        description="Answers of a provider that was sure enough; `usd` is roughly what the next "
        "one would have cost."
    )


class Amounts(BaseModel):
    """Sums of calls, and of answers without one."""

    total_usd: UsdAmount = Field(
        description="US dollars; without `unpriced_calls`, whose cost is not known.",
        examples=[1.4625],
    )
    prompt_tokens: int = Field(examples=[535_000])
    completion_tokens: int = Field(examples=[12_500])
    image_tokens: int = Field(
        description="Tokens of pictures, part of `prompt_tokens`.", examples=[212_500]
    )
    cached_tokens: int = Field(
        description="Prompt tokens that were read from the provider's cache.", examples=[0]
    )
    reasoning_tokens: int = Field(description="Completion tokens spent on reasoning.", examples=[0])
    calls: int = Field(description="Calls that may be billed, including retries.", examples=[2_510])
    answers: int = Field(
        description="Answers from calls, and those of `savings`.", examples=[2_620]
    )
    estimated_usd: UsdAmount = Field(
        description="Part of `total_usd` that is an upper bound, for calls whose cost was not "
        "reported.",
        examples=[0.0058],
    )
    unpriced_calls: int = Field(description="Calls whose cost is not known.", examples=[0])
    usd_per_1000_images: UsdAmount | None = Field(
        description="`total_usd` per thousand answers; null without any.", examples=[0.5582]
    )
    savings: Savings

    @classmethod
    def of(cls, sums: Sums, **more: object) -> Self:
        same = (
            *("prompt_tokens", "completion_tokens", "image_tokens", "cached_tokens"),
            *("reasoning_tokens", "calls", "answers", "estimated_usd", "unpriced_calls"),
        )
        amounts = {name: getattr(sums, name) for name in same} | {
            "total_usd": sums.cost_usd,
            "usd_per_1000_images": sums.cost_usd / sums.answers * 1000 if sums.answers else None,
            "savings": Savings(
                cache=Saved(answers=sums.kept, usd=sums.saved_kept_usd),
                coalescing=Saved(answers=sums.shared, usd=sums.saved_shared_usd),
                duplicates=Saved(answers=sums.duplicate, usd=sums.saved_duplicate_usd),
                cascade=Saved(answers=sums.cascade, usd=sums.saved_cascade_usd),
            ),
        }
        return cls(**amounts, **more)


class _Group(BaseModel):
    key: str | None = Field(
        description="A day, an hour or a name; null: the calls belong to no batch.",
        examples=["2026-11-01"],
    )
    share: float | None = Field(
        description="Share of `total_usd`, 0 to 1; null if that is zero.", examples=[0.25]
    )


class CostGroup(Amounts, _Group):
    """Costs of the calls and answers with the same key."""


class Forecast(BaseModel):
    """Cost of this month if it continues at the present rate, for the requested domain and
    caller."""

    month: str = Field(examples=["2026-11"])
    spent_usd: UsdAmount = Field(description="Spent so far this month.", examples=[1.4625])
    expected_usd: UsdAmount = Field(
        description="Expected at the end of the month.", examples=[1.75]
    )
    basis_days: float = Field(
        description="Days whose mean is extrapolated: the last 7, or all since the first entry.",
        examples=[7.0],
    )


class _Span(BaseModel):
    since: datetime = Field(
        description="Start of the period, a whole hour.", examples=["2026-11-01T00:00:00Z"]
    )
    until: datetime | None = Field(
        description="End of the period, a whole hour, exclusive; null: no end.", examples=[None]
    )


class CostReport(Amounts, _Span):
    """Costs of a period, up to the last stored entry."""

    forecast: Forecast | None = Field(
        description="Independent of `since` and `until`; null without entries."
    )
    by: Grouping
    groups: list[CostGroup] = Field(
        description="The most expensive first; days and hours in order. At most 1,000."
    )
    more_groups: bool = Field(description="Whether there are more groups.", examples=[False])


COLUMNS = tuple(columns_of(CostGroup))
"""Columns of a file of groups."""


class Costs:
    def __init__(self, rows: CostRepository, *, clock: Callable[[], datetime]) -> None:
        self._rows = rows
        self._clock = clock

    async def report(
        self,
        by: Grouping = "day",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        domain: str | None = None,
        caller: str | None = None,
    ) -> CostReport:
        """Report on whole hours; without `since`, from the start of this month. Raises
        StorageUnavailable."""
        now = self._clock()
        wanted = Spending(
            since=began(now, "month") if since is None else began(within_reach(since), "hour"),
            until=None if until is None else began(within_reach(until), "hour"),
            domain=domain,
            caller=caller,
        )
        spent = await self._rows.spent(wanted, by, now)
        total = spent.total.cost_usd
        return CostReport.of(
            spent.total,
            since=wanted.since,
            until=wanted.until,
            forecast=forecast(spent.pace, now),
            by=by,
            groups=[
                CostGroup.of(
                    sums,
                    key=_named(key, by),
                    share=float(sums.cost_usd / total) if total else None,
                )
                for key, sums in spent.groups
            ],
            more_groups=spent.more_groups,
        )


def forecast(pace: Pace, now: datetime) -> Forecast | None:
    """The month's cost so far, plus the mean of the last days for the remaining hours."""
    if pace.first is None:
        return None
    # A few minutes are no basis for a month.
    basis = max(now - max(pace.first, began(now - BASIS, "hour")), HOUR)
    left = Decimal((ends(now, "month") - now) / basis)
    return Forecast(
        month=f"{now:%Y-%m}",
        spent_usd=pace.month_usd,
        expected_usd=pace.month_usd + round(pace.lately_usd * left, 12),
        basis_days=round(min(basis, BASIS) / DAY, 2),
    )


def as_csv(groups: Sequence[CostGroup]) -> bytes:
    """With the same names and numbers as in their JSON."""
    writer = find_format("csv").write(Layout(COLUMNS))
    rows = [
        [reduce(getitem, each.path, group) for each in COLUMNS]
        for group in (each.model_dump(mode="json") for each in groups)
    ]
    return b"".join((writer.begin(), writer.rows(rows), *writer.end()))


def _named(key: Key, by: Grouping) -> str | None:
    if isinstance(key, datetime):
        return f"{key:%Y-%m-%d}" if by == "day" else f"{key:%Y-%m-%dT%H:%M:%SZ}"
    return key
