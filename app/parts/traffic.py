"""Builds what lies between a question and the providers: quotas, budgets, scheduling."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from app.errors import ConfigurationError, ProviderUnknown
from app.identifiers import new_id
from app.parts.ground import Ground
from app.storage import BoardRepository, BudgetRepository, LedgerRepository, chosen
from app.traffic import Board, Books, Budgets, CallJournal, Dispatcher, RedisLink, troubles


@dataclass(frozen=True, slots=True)
class Traffic:
    ledger: LedgerRepository
    books: Books
    dispatcher: Dispatcher
    board: Board


async def build_traffic(ground: Ground, stack: AsyncExitStack) -> Traffic:
    """Raises ConfigurationError."""
    settings = ground.settings
    ledger = LedgerRepository(ground.database, ground.outbox)
    books = await _build_books(ground, stack, ledger)
    link = await _build_link(ground, stack)
    dispatcher = Dispatcher(
        ground.providers, settings, ground.metrics, ground.health, books, link=link
    )
    stack.push_async_callback(dispatcher.aclose)
    try:
        await dispatcher.open(settings.provider_name)
    except ProviderUnknown as error:
        raise ConfigurationError(f"PROVIDER: {error}") from error
    ground.health.watch(lambda: troubles(dispatcher.states()))
    kept = BoardRepository(ground.database) if settings.shared else None
    board = Board(dispatcher.states, link, lambda: ground.health.passed, kept, clock=ground.clock)
    board.start()
    stack.push_async_callback(board.aclose)
    return Traffic(ledger, books, dispatcher, board)


async def _build_books(ground: Ground, stack: AsyncExitStack, ledger: LedgerRepository) -> Books:
    process, leases = ground.process, BudgetRepository(ground.database)
    folder = ground.settings.calls_folder
    if folder is not None:
        # Several databases may share one folder: this id keeps their calls apart.
        folder /= await chosen(ground.database, "id", new_id("ins"))
    books = Books(
        process,
        CallJournal(folder, process),
        ledger,
        Budgets(leases, ground.settings.budgets, process=process, clock=ground.clock),
        leases,
        clock=ground.clock,
    )
    await books.open()
    stack.push_async_callback(books.aclose)
    return books


async def _build_link(ground: Ground, stack: AsyncExitStack) -> RedisLink | None:
    settings = ground.settings
    if settings.redis_url is None:
        return None
    url, processes = settings.redis_url.get_secret_value(), settings.traffic.processes
    link = RedisLink(url, process=ground.process, processes=processes)
    await link.open()
    stack.push_async_callback(link.aclose)
    ground.health.register(
        "quota",
        link.ping,
        "Redis does not answer: each process keeps to its share of the quota, and what is shared "
        "out as background work waits.",
        essential=False,
    )
    ground.metrics.watch_sharing(lambda: link.connected)
    return link
