"""Checks whether what is left of the budgets is enough for a batch."""

from collections.abc import Sequence
from decimal import Decimal

from pydantic import BaseModel, Field

from app.batches.bill import Bill
from app.batches.route import Route
from app.budget import Budget, Payer, Period, budget_of_batch
from app.classification import Intake, Showing
from app.domains import Domain
from app.errors import BudgetSpent
from app.providers.base import Provider
from app.providers.registry import ProviderRegistry
from app.result import UsdAmount
from app.storage import BatchRow, BudgetState, ReceivingRepository, ResultFilter, ResultRepository
from app.storage.batch_rows import DIGEST
from app.traffic import Budgets, Deployment, Dispatcher

NEWEST = 300
"""How many results of the domain are searched for what its calls were billed."""


class BudgetShare(BaseModel):
    """How much of a budget a batch would take."""

    name: str = Field(
        description="Name of the budget; `batch`: the batch's own.", examples=["shop-per-month"]
    )
    period: Period = Field(examples=["month"])
    action: str = Field(examples=["block"])
    amount_usd: UsdAmount | None = Field(
        description="Null for a budget that is shared with other callers, unless an operator asks.",
        examples=[50.0],
    )
    left_usd: UsdAmount | None = Field(
        description="What is not spent; null like `amount_usd`.", examples=[37.5]
    )
    share: float | None = Field(
        description="Expected cost as a share of what is left; null like `amount_usd`, and if the "
        "price is not known or nothing is left.",
        examples=[0.08],
    )
    fits: bool | None = Field(
        description="False: even the low estimate is more than is left, so that the batch would be "
        "refused if the budget blocks. Null if the price is not known.",
        examples=[True],
    )

    @classmethod
    def of(
        cls,
        state: BudgetState,
        cost: tuple[Decimal, Decimal, Decimal] | None,
        *,
        operator: bool,
    ) -> "BudgetShare":
        """`cost`: low, expected, high."""
        budget, left = state.budget, state.left
        told = operator or budget.is_callers
        return cls(
            name=budget.name if budget.batch_id is None else "batch",
            period=budget.period,
            action=budget.action,
            amount_usd=budget.amount_usd if told else None,
            left_usd=left if told else None,
            share=round(float(cost[1] / left), 6) if cost and left and told else None,
            fits=None if cost is None else cost[0] <= left,
        )


class Affording:
    def __init__(
        self,
        budgets: Budgets,
        dispatcher: Dispatcher,
        providers: ProviderRegistry,
        results: ResultRepository,
        receiving: ReceivingRepository,
        intake: Intake,
        showing: Showing,
    ) -> None:
        self._budgets = budgets
        self._dispatcher = dispatcher
        self._providers = providers
        self._results = results
        self._receiving = receiving
        self._intake = intake
        self._showing = showing

    async def route(self, asked: str | None, domain: Domain) -> Route:
        """Raises ProviderUnknown."""
        names = self._providers.chain(asked, domain)
        before: list[Provider] = []
        for place, name in enumerate(names):
            deployments = await self._deployments(name)
            first = deployments[0].provider
            last = domain.cascade is None or name == names[-1]
            if last or not first.capabilities().embedded:
                later = () if domain.cascade is None else names[place + 1 :]
                return Route(names, tuple(before), deployments, later)
            before.append(first)
        raise AssertionError("a chain has an end")

    async def bill(self, name: str, domain: Domain) -> Bill:
        """The bill of the provider's deployment that would be asked first, by what the domain's
        newest answers were billed, whoever asked for them. Raises ProviderUnknown."""
        newest = await self._results.page(
            ResultFilter(domain=domain.name), before=None, limit=NEWEST
        )
        shown = await self._showing.some(domain, name)
        return Bill.of((await self._deployments(name))[0].provider, domain, newest, shown=shown)

    async def _deployments(self, name: str) -> list[Deployment]:
        # The deployment with the lowest `priority` is asked as long as it has room.
        return sorted(await self._dispatcher.deployments(name), key=lambda each: each.priority)

    async def shares(
        self,
        payer: Payer,
        domain: Domain,
        cost: tuple[Decimal, Decimal, Decimal] | None,
        *,
        operator: bool,
    ) -> list[BudgetShare]:
        """What a batch of this cost would take of each budget in which its calls are reserved."""
        states = await self._budgets.states(self._budgets.covering(payer, domain.name))
        return [BudgetShare.of(each, cost, operator=operator) for each in states]

    async def check(self, batch: BatchRow, domain: Domain) -> None:
        """Raises BudgetSpent if the budgets can't pay for the batch that was received: not even if
        each picture cost as little as the cheapest, and uploads whose answers are kept nothing."""
        own = budget_of_batch(batch.id, batch.budget_usd, caller=batch.caller, domain=domain.name)
        payer = Payer(batch.caller, batch.id, own)
        blocking = [
            each for each in self._budgets.covering(payer, domain.name) if each.action == "block"
        ]
        if not blocking:
            return
        # In a cascade, hardly anything is certain except that the first provider is asked.
        bill = await self.bill(self._providers.chain(batch.provider, domain)[0], domain)
        least = bill.least_of_a_picture()
        if least is None or not bill.is_metered:
            return
        states = await self._budgets.states(blocking)
        pictures = await self._receiving.pictures(batch.id)
        if _too_little(states, pictures * least) is None:
            return
        asked = pictures - await self._answered(batch, domain)
        short = _too_little(states, asked * least)
        if short is not None:
            raise _refusal(short, asked * least)

    async def _answered(self, batch: BatchRow, domain: Domain) -> int:
        """How many uploads have an answer that is kept."""
        count, after = 0, ""
        names = self._providers.chain(batch.provider, domain)
        while sources := await self._receiving.uploads(batch.id, after=after):
            digests = [each.removeprefix(DIGEST) for each in sources]
            count += await self._intake.look_ahead(digests, domain, names)
            after = sources[-1]
        return count


def _too_little(states: Sequence[BudgetState], needed: Decimal) -> BudgetState | None:
    return next((each for each in states if each.left < needed), None)


def _refusal(short: BudgetState, needed: Decimal) -> BudgetSpent:
    budget: Budget = short.budget
    name = "its budget" if budget.batch_id is not None else f"the budget {budget.name}"
    left = f", and {short.left:.4f} USD are left" if budget.is_callers else ""
    return BudgetSpent(
        f"The batch costs {needed:.4f} USD at least{left}: more than {name} holds.",
        budget=budget.name,
        resets_at=budget.resets_at(short.starts_at),
    )
