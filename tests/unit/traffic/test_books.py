"""Every call that may be billed gets into the ledger once, whatever becomes of its result."""

import asyncio
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app.budget import Budget, Payer
from app.errors import (
    ContentFiltered,
    ProviderDenied,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
    StorageUnavailable,
)
from app.storage import BudgetRepository, LedgerRepository, Outbox
from app.storage.tables import batches, cost_days, cost_hours
from app.traffic import Books, Budgets, CallJournal
from app.traffic.books import LONGEST_NAME, STORED_WITHIN_S, SUMMED_EVERY_S
from app.traffic.call_journal import MAX_CALLS
from app.traffic.wallet import FREE
from app.usage import TokenUsage
from tests.fakes import FakeProvider, answer, spent_with
from tests.inline_database import Inline

pytestmark = pytest.mark.virtual_time

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BATCH = "bat_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"
SHOP = Payer("shop")
MOST = TokenUsage(200, 32, cost_usd=Decimal("0.00082"), price="v1")
BILLED = TokenUsage(170, 5, cost_usd=Decimal("0.000475"), price="v1")


@pytest.fixture
async def database():
    database = Inline()
    yield database
    await database.close()


@pytest.fixture
def rows(database):
    return LedgerRepository(database, Outbox(database, None))


@pytest.fixture
async def opened(database, rows, tmp_path):
    """Books of new processes."""
    all_books = []

    async def opened(process="prc_first", *, folder=tmp_path / "calls", budgets=()) -> Books:
        leases = BudgetRepository(database)
        books = Books(
            process,
            CallJournal(folder, process),
            rows,
            Budgets(leases, budgets, process=process, clock=lambda: NOON),
            leases,
            clock=lambda: NOON,
        )
        await books.open()
        all_books.append(books)
        return books

    yield opened
    database.fails = True  # some are closed already, and have nothing to write
    for each in all_books:
        await each.aclose()


@pytest.fixture
async def books(opened):
    return await opened()


def call(books: Books, hold=FREE, provider=None, payer=SHOP):
    return books.begin(provider or FakeProvider("azure"), payer, "flowers", MOST, hold)


def may_be_billed(error):
    error.may_be_billed = True
    return error


async def test_a_call_is_booked_with_its_result(books, rows, database):
    """Once, and nothing is changed of it later."""
    entry = books.end(call(books), answer(usage=BILLED), 85)
    entry.result_id = "cls_1"
    await rows.book([entry])
    books.booked([entry])
    await asyncio.sleep(2 * STORED_WITHIN_S)

    (row,) = database.rows()
    assert (row["result_id"], row["outcome"], row["answers"]) == ("cls_1", "answered", 1)
    assert (row["prompt_tokens"], row["image_tokens"], row["completion_tokens"]) == (170, 85, 5)
    assert (row["cost_usd"], row["estimated"], row["price"]) == (BILLED.cost_usd, False, "v1")


async def test_booking_twice_writes_once(books, rows, database):
    """Nobody may have said that it was stored the first time."""
    entry = books.end(call(books), answer(usage=BILLED), 85)
    await rows.book([entry])
    entry.outcome = "changed"
    await rows.book([entry, entry])

    assert [each["outcome"] for each in database.rows()] == ["answered"]


async def test_what_no_result_is_stored_with_is_booked_alone(books, database):
    """After half a minute; a result that is stored later does not double it."""
    books.end(call(books), answer(usage=BILLED), 85)
    await asyncio.sleep(STORED_WITHIN_S - 1)
    early = database.rows()
    await asyncio.sleep(1 + 2 * SUMMED_EVERY_S)

    (row,) = database.rows()
    assert early == []
    assert (row["result_id"], row["cost_usd"]) == (None, BILLED.cost_usd)


async def test_what_no_result_is_stored_with_is_booked_in_the_end(books, database, tmp_path):
    books.end(call(books), answer(usage=BILLED), 85)
    await books.aclose()

    assert [each["cost_usd"] for each in database.rows()] == [BILLED.cost_usd]
    assert [each.name for each in (tmp_path / "calls").iterdir()] == ["0.lock"]


async def test_sums_follow(books, rows, database):
    """Of hours and of days; those of the last second follow in the end."""
    for seconds in (2 * SUMMED_EVERY_S, 0):
        entry = books.end(call(books), answer(usage=BILLED), 85)
        await rows.book([entry])
        books.booked([entry])
        await asyncio.sleep(seconds)
    before = database.rows(cost_days)
    await books.aclose()

    assert [each["cost_usd"] for each in before] == [BILLED.cost_usd]
    for table in (cost_hours, cost_days):
        (row,) = database.rows(table)
        assert (row["calls"], row["cost_usd"]) == (2, 2 * BILLED.cost_usd)


async def test_a_database_that_fails_puts_it_off(books, database):
    """Nothing is lost, and nothing is there twice."""
    books.end(call(books), answer(usage=BILLED), 85)
    database.fails = True
    await asyncio.sleep(2 * STORED_WITHIN_S)
    database.fails = False
    await asyncio.sleep(2 * SUMMED_EVERY_S)

    assert len(database.rows()) == 1
    assert [each["calls"] for each in database.rows(cost_hours)] == [1]


async def test_a_database_that_fails_in_the_end_leaves_it_to_the_next_start(
    books, opened, database
):
    books.end(call(books), answer(usage=BILLED), 85)
    database.fails = True
    await books.aclose()
    database.fails = False
    before = database.rows()
    await opened("prc_second")

    (row,) = database.rows()
    assert before == []
    assert (row["process"], row["cost_usd"], row["estimated"]) == (
        "prc_first",
        BILLED.cost_usd,
        False,
    )
    assert [each["calls"] for each in database.rows(cost_hours)] == [1]


async def test_so_it_does_with_what_is_stored_and_in_no_sum_yet(books, opened, rows, database):
    """Nobody has to wait until the process counts as dead."""
    entry = books.end(call(books), answer(usage=BILLED), 85)
    await rows.book([entry])
    books.booked([entry])
    database.fails = True
    await books.aclose()
    database.fails = False
    await opened("prc_second")

    assert [each["calls"] for each in database.rows(cost_hours)] == [1]


async def test_what_was_under_way_when_a_process_was_killed(
    books, opened, rows, database, tmp_path
):
    """What a call would cost at most, where its answer never came; what it cost, where it came and
    was not stored; what was stored already, as it was."""
    open_call, answered, stored = (call(books) for _ in range(3))
    books.end(answered, answer(usage=BILLED), 85)
    entry = books.end(stored, answer(usage=BILLED), 85)
    entry.result_id = "cls_1"
    await rows.book([entry])
    shutil.copytree(tmp_path / "calls", tmp_path / "left")
    await opened("prc_second", folder=tmp_path / "left")

    found = {each["id"]: each for each in database.rows()}
    lost = found[open_call.entry.id]
    assert (lost["outcome"], lost["cost_usd"], lost["estimated"]) == ("open", MOST.cost_usd, True)
    assert found[answered.entry.id]["cost_usd"] == BILLED.cost_usd
    assert found[entry.id]["result_id"] == "cls_1"
    assert [each["calls"] for each in database.rows(cost_hours)] == [3]


async def test_a_process_that_starts_while_the_database_fails_loses_nothing(
    books, opened, database, tmp_path
):
    call(books)
    shutil.copytree(tmp_path / "calls", tmp_path / "left")
    database.fails = True
    with pytest.raises(StorageUnavailable):
        await opened("prc_second", folder=tmp_path / "left")
    database.fails = False
    await opened("prc_third", folder=tmp_path / "left")

    assert [each["estimated"] for each in database.rows()] == [True]


@pytest.mark.parametrize(
    "error",
    [
        ProviderRateLimited("The provider's quota is spent."),
        ProviderDenied("The provider refuses the credentials."),
        ProviderUnavailable("The provider could not be reached."),
    ],
)
async def test_what_is_not_billed_leaves_no_entry(books, database, error):
    entry = books.end(call(books), error, 85)
    await books.aclose()

    assert entry is None
    assert database.rows() == []


@pytest.mark.parametrize(
    ("outcome", "called"),
    [
        (may_be_billed(ProviderTimeout("No answer in time.")), "timeout"),
        (may_be_billed(ContentFiltered("Refused.", categories=())), "content_filtered"),
        (asyncio.CancelledError(), "interrupted"),
        (answer(usage=TokenUsage()), "answered"),
    ],
)
async def test_where_nobody_said_what_was_billed_it_is_the_most(books, outcome, called):
    entry = books.end(call(books), outcome, 85)

    assert (entry.outcome, entry.estimated) == (called, True)
    assert (entry.prompt_tokens, entry.completion_tokens) == (200, 32)
    assert entry.cost_usd == MOST.cost_usd


async def test_an_error_that_tells_its_usage_is_booked_with_that(books):
    error = spent_with(ContentFiltered("Stopped.", categories=()), BILLED)

    entry = books.end(call(books), error, 85)

    assert (entry.cost_usd, entry.estimated, entry.answers) == (BILLED.cost_usd, False, 0)


async def test_a_model_of_any_name_is_booked(books, database):
    """Who answers may call itself what it likes."""
    for name in ("\x01" * 500, "\0\ud800", "🌹" * 500, '"\\' * 500):
        books.end(call(books), replace(answer(usage=BILLED), model=name), 85)
    await books.aclose()

    models = [each["model"] for each in database.rows()]
    assert len(models) == 4
    assert all(len(each.encode()) <= LONGEST_NAME for each in models)


async def test_a_full_journal_takes_no_more_calls_and_reserves_nothing(opened):
    """Budgets have as much left as before."""
    budget = Budget(name="shop", amount_usd=MOST.cost_usd, action="block")
    books = await opened(budgets=[budget])
    for _ in range(MAX_CALLS):
        call(books)
    for _ in range(3):
        hold = await books.budgets.reserve(SHOP, "flowers", MOST)
        assert hold is not None
        with pytest.raises(StorageUnavailable):
            call(books, hold)


async def test_a_batch_has_cost_what_nobody_stored_for_it_too(opened, database):
    """Its items are asked again; what is in the ledger already is not added once more."""
    batch = {
        **{"id": BATCH, "caller": "shop", "domain": "flowers", "lane": "batch"},
        **{"batch_size": 10, "shard_size": 100, "on_error": "stop", "status": "running"},
        "created_at": NOON,
    }
    await database.write(lambda each: each.execute(sa.insert(batches), batch).rowcount)
    books = await opened()
    entries = [
        books.end(call(books, payer=Payer("shop", BATCH)), answer(usage=BILLED), 85)
        for _ in range(3)
    ]
    await books._rows.book(entries[:1])  # with its result; nobody had time to say so
    await books.aclose()

    (row,) = database.rows(batches)
    assert row["cost_usd"] == 2 * BILLED.cost_usd
    assert row["prompt_tokens"] == 2 * BILLED.prompt
