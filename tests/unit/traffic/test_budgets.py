"""Leases of budgets, when processes die, wait, or are not told that something was written."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app.budget import Budget, Payer
from app.errors import BudgetSpent, StorageUnavailable
from app.prices import AgreedPrice
from app.storage import BudgetRepository, Database, LedgerRepository, Outbox
from app.storage.leases import DEAD_AFTER
from app.traffic import Books, Budgets, CallJournal
from app.traffic.budgets import CUT_OFF_AFTER_S
from app.usage import TokenUsage
from tests.clock import Clock
from tests.fakes import PricedProvider, answer
from tests.inline_database import Inline
from tests.virtual_time import now

pytestmark = pytest.mark.virtual_time

PAYER = Payer("shop")
ALL = Budget(name="all", amount_usd=Decimal(1), period="total")
OF_SHOP = Budget(name="shop", caller="shop", amount_usd=Decimal(1), period="total")
TENTH = TokenUsage(10, 10, {}, Decimal("0.1"), "test")


@pytest.fixture
async def database():
    database = Inline()
    yield database
    await database.close()


class Process:
    """Books of one process."""

    def __init__(self, name: str, database: Database, clock: Clock, *budgets: Budget) -> None:
        self.rows = BudgetRepository(database)
        self.budgets = Budgets(self.rows, budgets, process=name, clock=clock)
        ledger = LedgerRepository(database, Outbox(database, None))
        journal = CallJournal(None, name)
        self.books = Books(name, journal, ledger, self.budgets, self.rows, clock=clock)

    async def reserve(self, most: TokenUsage = TENTH, payer: Payer = PAYER):
        """The call; None: it does not fit."""
        try:
            await self.budgets.wait_for_room(payer, "flowers", most, until=now())
        except BudgetSpent:
            return None
        hold = await self.budgets.reserve(payer, "flowers", most)
        if hold is None:
            return None
        return self.books.begin(PricedProvider(), payer, "flowers", most, hold)

    async def pay(self, call) -> None:
        """It costs what was reserved, and is stored."""
        usage = TokenUsage(10, 10, {}, call.most.cost_usd, "test")
        entry = self.books.end(call, answer(usage=usage), 0)
        await self.books._rows.book([entry])
        self.books.booked([entry])

    def forget_refusals(self) -> None:
        for each in self.budgets._wallets.values():
            each.refused = None

    async def all_there_is(self) -> int:
        """How many calls fit; they are paid."""
        count = 0
        self.forget_refusals()
        while (call := await self.reserve()) is not None:
            await self.pay(call)
            count += 1
        return count


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def begin(database, clock):
    return lambda name="prc_a", *budgets: Process(name, database, clock, *(budgets or (ALL,)))


async def leased(database: Database) -> Decimal:
    rows = BudgetRepository(database)
    found = [await rows.leases(name, datetime.now(UTC)) for name in ("prc_a", "prc_b")]
    return sum((amount for each in found for amount in each.values()), Decimal(0))


async def test_what_one_gives_back_another_gets(begin, database):
    one, other = begin("prc_a"), begin("prc_b")
    held = [await one.reserve() for _ in range(3)]
    assert await other.all_there_is() < 10
    for call in held:
        one.books.budgets.settle(call.hold, Decimal(0))
    await one.books._sum()
    await one.books._sum()
    await other.books._sum()

    assert await other.all_there_is() > 0
    await other.books._sum()
    await other.books._sum()
    assert await leased(database) == 0


async def test_a_lease_that_nobody_acknowledged_is_found(begin, database, monkeypatch):
    """The connection is lost after the commit: the next one who asks looks what is there."""
    one = begin()
    lease = one.rows.lease

    async def lost(*asked):
        await lease(*asked)
        raise StorageUnavailable("gone")

    monkeypatch.setattr(one.rows, "lease", lost)
    with pytest.raises(StorageUnavailable):
        await one.reserve()
    found = await one.reserve()
    monkeypatch.undo()
    one.budgets.settle(found.hold, Decimal(0))

    assert await one.all_there_is() == 10


async def test_who_stops_waiting_for_a_lease_loses_none(begin, database, monkeypatch):
    one, gate = begin(), asyncio.Event()
    lease = one.rows.lease

    async def slow(*asked):
        got = await lease(*asked)
        await gate.wait()
        return got

    monkeypatch.setattr(one.rows, "lease", slow)
    waiting = asyncio.create_task(one.reserve())
    await asyncio.sleep(0.1)
    waiting.cancel()
    gate.set()
    await asyncio.gather(waiting, return_exceptions=True)
    monkeypatch.undo()

    assert await one.all_there_is() == 10
    await one.books._sum()
    await one.books._sum()
    assert await leased(database) == 0


async def test_a_living_process_is_not_taken_for_dead(begin, clock, database):
    """An entry that is stored late is summed by another one: its leases stay its own, and it finds
    out that it owes no more."""
    one, other = begin("prc_a"), begin("prc_b")
    late = await one.reserve()
    clock.ahead(minutes=11)
    await asyncio.sleep(11 * 60)
    await one.pay(late)
    held = await one.reserve()
    await other.books.sum_of_the_dead()
    count = await other.all_there_is()

    assert held is not None
    assert count <= 8
    await asyncio.sleep(61)  # by then it looks
    await one.books._sum()
    assert one.books._owed == {}


async def test_who_was_cut_off_spends_nothing_that_others_may_have(begin, clock, monkeypatch):
    """For ten minutes nothing was written: others took its leases, and it asks before it spends."""
    one, other = begin("prc_a"), begin("prc_b")
    await one.pay(await one.reserve())
    await one.books._sum()
    assert one.budgets._wallets
    clock.now += DEAD_AFTER + timedelta(seconds=1)
    await asyncio.sleep(CUT_OFF_AFTER_S + 1)
    await other.books.sum_of_the_dead()
    spent = await other.all_there_is()
    spent += await one.all_there_is()

    assert spent == 9


async def test_all_budgets_of_a_call_are_looked_at_after_the_last_wait(begin, monkeypatch):
    """While one waits for a lease of its own budget another takes the last of the shared one."""
    one = begin("prc_a", ALL, OF_SHOP)
    lease, taken = one.rows.lease, []

    async def late(process, requests, at):
        got = await lease(process, requests, at)
        if any(each.budget == OF_SHOP for each in requests) and not taken:
            taken.append(True)
            wallet = one.budgets._wallets[next(iter(one.budgets._wallets))]
            wallet.held += wallet.room  # whoever was quicker
        return got

    monkeypatch.setattr(one.rows, "lease", late)
    await one.reserve(payer=Payer("other"))
    await one.reserve()

    assert all(each.room >= 0 for each in one.budgets._wallets.values())


async def test_a_call_belongs_to_the_day_that_it_was_reserved_in(begin, clock, monkeypatch):
    daily = Budget(name="daily", amount_usd=Decimal(1), period="day")
    one = begin("prc_a", daily)
    lease, tomorrow = one.rows.lease, clock.now + timedelta(days=1)

    async def past_midnight(*asked):
        got = await lease(*asked)
        clock.now = max(clock.now, tomorrow)
        return got

    monkeypatch.setattr(one.rows, "lease", past_midnight)
    call = await one.reserve()

    assert call.hold.wallets[0].starts_at == daily.starts_at(call.entry.at)


async def test_nothing_is_left_of_a_price_with_many_digits(begin):
    """50 USD an hour over 70,000 tokens a minute."""
    price = AgreedPrice(usd_per_hour=Decimal(50), tokens_per_minute=70_000).price
    one = begin()
    for prompt in (7, 11, 13):
        most = price.most(prompt, 3)
        call = await one.reserve(most)
        entry = one.books.end(call, answer(usage=price.most(prompt - 1, 2)), 0)
        await one.books._rows.book([entry])
        one.books.booked([entry])
    for _ in range(3):
        await one.books._sum()

    assert one.budgets._wallets == {}
    assert not one.budgets.changed.is_set()
