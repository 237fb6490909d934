"""Several processes spend one budget: whatever they reserve, settle, store, sum and lose."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.budget import Budget, Payer
from app.errors import BudgetSpent, ProviderRateLimited
from app.storage import BudgetRepository, Database, LedgerRepository, Outbox, migrate
from app.traffic import Books, Budgets, CallJournal
from app.usage import TokenUsage
from tests.fakes import PricedProvider, answer

PROCESSES = 3
NUMBERS = count()


class Process:
    """Books over the shared database, and calls under way."""

    def __init__(self, name: str, database: Database, budget: Budget) -> None:
        leases = BudgetRepository(database)
        clock = lambda: datetime.now(UTC)  # noqa: E731
        self.budgets = Budgets(leases, [budget], process=name, clock=clock)
        self.books = Books(
            name,
            CallJournal(None, name),
            LedgerRepository(database, Outbox(database, None)),
            self.budgets,
            leases,
            clock=clock,
        )
        self.under_way: list = []
        self.ended: list = []


STEPS = st.lists(
    st.tuples(
        st.integers(0, PROCESSES - 1),
        st.sampled_from(["reserve", "reserve", "reserve", "answer", "fail", "store", "sum"]),
        st.integers(1, 40),
    ),
    min_size=5,
    max_size=60,
)


@pytest.fixture(scope="module")
def loop():
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture(scope="module")
def database(loop):
    database = Database("sqlite://")
    loop.run_until_complete(migrate(database))
    yield database
    loop.run_until_complete(database.close())


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, amount=st.integers(20, 300))
def test_no_order_of_events_spends_more_than_there_is(loop, database, steps, amount):
    loop.run_until_complete(_run(database, steps, amount))


async def _run(database: Database, steps, amount: int) -> None:
    name = f"budget-{next(NUMBERS)}"
    budget = Budget(name=name, domain=name, amount_usd=Decimal(amount), period="total")
    processes = [Process(f"{name}-{number}", database, budget) for number in range(PROCESSES)]
    cost = Decimal(0)
    for number, step, size in steps:
        process = processes[number]
        match step:
            case "reserve":
                await _reserve(process, name, Decimal(size))
            case "answer" | "fail" if process.under_way:
                call = process.under_way.pop()
                billed = call.most.cost_usd / 2 if step == "answer" else Decimal(0)
                cost += billed
                _end(process, call, billed)
            case "store" if process.ended:
                await process.books._rows.book(process.ended)
                process.books.booked(process.ended)
                process.ended = []
            case "sum":
                await process.books._sum()
        held = sum((each.most.cost_usd for one in processes for each in one.under_way), Decimal(0))
        assert cost + held <= amount
    for process in processes:
        while process.under_way:
            _end(process, process.under_way.pop(), Decimal(0))
        await process.books.aclose()
    (state,) = await processes[0].budgets.states([budget])
    assert state.spent == cost
    assert state.reserved == 0


async def _reserve(process: Process, domain: str, size: Decimal) -> None:
    payer, most = Payer("test"), TokenUsage(10, 10, {}, size, "test")
    now = asyncio.get_running_loop().time()
    for wallet in process.budgets._wallets.values():
        wallet.refused = None
    try:
        await process.budgets.wait_for_room(payer, domain, most, until=now)
    except BudgetSpent:
        return
    hold = await process.budgets.reserve(payer, domain, most)
    if hold is not None:
        call = process.books.begin(PricedProvider(), payer, domain, most, hold)
        process.under_way.append(call)


def _end(process: Process, call, billed: Decimal) -> None:
    if not billed:
        assert process.books.end(call, ProviderRateLimited("busy"), 0) is None
        return
    outcome = answer(usage=TokenUsage(5, 5, {}, billed, "test"))
    process.ended.append(process.books.end(call, outcome, 0))
