"""The one place where parts are built and joined."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from app.batches import BatchRunner, TakingIn
from app.classification import Asking, ClassificationService, Intake, Keeper, Once
from app.domains import DomainRegistry
from app.egress import Allowance, EgressClient
from app.errors import ConfigurationError, Interrupted, ProviderUnknown
from app.images import ImageReader, ImageWorkers
from app.providers.base import ProviderContext
from app.providers.profiles import ModelTable
from app.providers.registry import ProviderRegistry
from app.settings import Settings
from app.settings_sources import config_dir
from app.storage import (
    AcceptedRepository,
    AnswerRepository,
    BatchRepository,
    BlobStore,
    Database,
    DomainRepository,
    Failure,
    IdempotencyRepository,
    ResultRepository,
    ShardRepository,
    migrate,
)
from app.telemetry.health import Health
from app.telemetry.metrics import Metrics
from app.traffic import Board, Dispatcher, RedisLink
from app.work import Work

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """All that a face of the service (HTTP, command line) needs."""

    settings: Settings
    health: Health
    metrics: Metrics
    database: Database
    domains: DomainRegistry
    providers: ProviderRegistry
    dispatcher: Dispatcher
    board: Board
    results: ResultRepository
    batches: BatchRepository
    taking_in: TakingIn
    runner: BatchRunner
    classification: ClassificationService
    once: Once


@asynccontextmanager
async def build_parts(settings: Settings, *, serving: bool = False) -> AsyncIterator[Parts]:
    """Build, start, and in the end drain and close all parts.

    `serving`: this process is the one that works on its database: it keeps others off, and settles
    what an earlier one left unfinished. Raises ConfigurationError.
    """
    async with AsyncExitStack() as stack:
        yield await _build(settings, stack, serving=serving)


async def _build(settings: Settings, stack: AsyncExitStack, *, serving: bool) -> Parts:
    """What is built first is closed last."""
    health = Health()
    metrics = Metrics(enabled=settings.monitoring.enable_metrics)

    database = Database(settings.database_url)
    stack.push_async_callback(database.close)
    if serving:
        database.lock()
    await migrate(database)
    health.register("storage", database.ping)
    results = ResultRepository(database)
    keys = IdempotencyRepository(database)

    domains = DomainRegistry(config_dir() / "domains.yaml", DomainRepository(database), metrics)
    await domains.load_stored()

    egress = EgressClient(
        allow=Allowance.parse(settings.egress_allow),
        proxy=settings.egress_proxy.get_secret_value() if settings.egress_proxy else None,
    )
    workers = ImageWorkers(settings.image_workers, queue=settings.image_queue)
    stack.callback(workers.close)

    models = ModelTable.read(config_dir() / "models.yaml")
    providers = ProviderRegistry(ProviderContext(settings, models, workers))
    stack.push_async_callback(providers.aclose)
    link = await _build_link(settings, stack, metrics, health)
    dispatcher = await _build_dispatcher(settings, stack, providers, metrics, health, link)
    board = Board(dispatcher.states, link)
    board.start()
    stack.push_async_callback(board.aclose)

    blobs = BlobStore(settings.blobs_place)
    stack.push_async_callback(blobs.close)
    reader = ImageReader(egress, workers, blobs, max_bytes=settings.max_upload)
    answers = AnswerRepository(
        database, ttl_s=settings.cache.ttl, max_entries=settings.cache.max_entries
    )
    if answers.enabled:
        await answers.load_models()
    keeper = Keeper(AcceptedRepository(database), blobs, results, domains)
    classification = ClassificationService(
        domains=domains,
        intake=Intake(reader, workers, answers, providers, settings.quality),
        asking=Asking(dispatcher, joinable_s=settings.api.timeout / 2),
        results=results,
        answers=answers,
        keeper=keeper if database.lasts else None,
        metrics=metrics,
        default_provider=settings.provider_name,
    )
    stack.push_async_callback(classification.drain, seconds=settings.drain_timeout)

    batches = BatchRepository(database)
    runner = _build_runner(settings, stack, database, batches, classification, metrics)
    if serving:
        await batches.forget_unreceived()
        runner.start()
        if count := await classification.resume():
            log.info("accepted pictures of an earlier process are gone on with", count=count)
        await _settle_unfinished(results, keys)
    taking_in = TakingIn(batches, keys, blobs, domains, settings.batch)
    once = Once(keys, results, classification, patience_s=settings.api.timeout)
    return Parts(
        settings,
        health,
        metrics,
        database,
        domains,
        providers,
        dispatcher,
        board,
        results,
        batches,
        taking_in,
        runner,
        classification,
        once,
    )


def _build_runner(
    settings: Settings,
    stack: AsyncExitStack,
    database: Database,
    batches: BatchRepository,
    classification: ClassificationService,
    metrics: Metrics,
) -> BatchRunner:
    work = Work(at_once=settings.batch.shards_at_once)
    stack.push_async_callback(work.aclose)
    runner = BatchRunner(
        batches,
        ShardRepository(database),
        classification,
        work,
        metrics,
        in_flight=settings.batch.in_flight,
    )
    stack.push_async_callback(runner.stop, seconds=settings.drain_timeout)
    return runner


async def _build_link(
    settings: Settings, stack: AsyncExitStack, metrics: Metrics, health: Health
) -> RedisLink | None:
    if settings.redis_url is None:
        return None
    link = RedisLink(settings.redis_url.get_secret_value(), processes=settings.traffic.processes)
    await link.open()
    stack.push_async_callback(link.aclose)
    health.register("quota", link.ping, essential=False)
    metrics.watch_sharing(lambda: link.connected)
    return link


async def _build_dispatcher(
    settings: Settings,
    stack: AsyncExitStack,
    providers: ProviderRegistry,
    metrics: Metrics,
    health: Health,
    link: RedisLink | None,
) -> Dispatcher:
    dispatcher = Dispatcher(providers, settings, metrics, health, link=link)
    stack.push_async_callback(dispatcher.aclose)
    try:
        await dispatcher.open(settings.provider_name)
    except ProviderUnknown as error:
        raise ConfigurationError(f"PROVIDER: {error}") from error
    return dispatcher


async def _settle_unfinished(results: ResultRepository, keys: IdempotencyRepository) -> None:
    """What an earlier process left, and can't be gone on with."""
    reason = Failure.of(Interrupted())
    count = await results.fail_interrupted(reason)
    await keys.release_unanswered()
    if count:
        log.warning("accepted pictures were cut off by a crash and are failed now", count=count)
