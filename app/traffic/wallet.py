"""This process's part of a budget, and what is reserved of it for calls."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from app.budget import Budget
from app.errors import BudgetSpent
from app.storage import Purse

NOTHING = Decimal(0)


@dataclass(slots=True)
class Wallet:
    """This process's part of a budget in one period.

    Attributes:
        held: reserved for calls in progress.
        owed: the cost of calls that ended, and that are not in the sums yet.
        lately: the cost of those that ended since it was last looked at.
        refused: until when, by the event loop's clock, no lease is asked for, and what was spent.
    """

    budget: Budget
    starts_at: datetime
    lease: Decimal = NOTHING
    held: Decimal = NOTHING
    owed: Decimal = NOTHING
    lately: Decimal = NOTHING
    refused: tuple[float, Decimal] | None = None

    @property
    def purse(self) -> Purse:
        return Purse(self.budget.name, self.starts_at)

    @property
    def ends_at(self) -> datetime | None:
        """When the period ends; None: never."""
        return self.budget.resets_at(self.starts_at)

    @property
    def room(self) -> Decimal:
        return self.lease - self.held - self.owed

    def spent(self, known: Decimal) -> BudgetSpent:
        """The error to raise; `known` is what the sums say is spent."""
        budget, resets_at = self.budget, self.ends_at
        until = f" until {resets_at:%Y-%m-%dT%H:%M:%SZ}" if resets_at else ""
        left = max(NOTHING, budget.amount_usd - known - self.owed)
        amounts = f": {left:.6f} of {budget.amount_usd:f} USD are left" if budget.is_callers else ""
        return BudgetSpent(
            f"The budget {budget.name} is spent{until}{amounts}.",
            budget=budget.name,
            degrades=budget.action == "degrade",
            resets_at=resets_at,
        )


@dataclass(frozen=True, slots=True)
class Hold:
    """What is reserved for one call.

    Attributes:
        at: the moment in whose periods it counts; None: it does not matter.
    """

    amount: Decimal
    wallets: tuple[Wallet, ...] = ()
    at: datetime | None = None


FREE = Hold(NOTHING)
