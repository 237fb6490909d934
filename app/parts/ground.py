"""The foundation of the other parts: telemetry, the database, stores, threads, providers."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from app.domains import DomainRegistry
from app.egress import Allowance, EgressClient
from app.identifiers import PROCESS, new_id
from app.images import ImageWorkers, Journal
from app.providers.base import ProviderContext
from app.providers.profiles import ModelTable
from app.providers.registry import ProviderRegistry
from app.providers.taught import Taught
from app.settings import Settings
from app.storage import (
    AllowedUris,
    BlobStore,
    Database,
    DomainRepository,
    IdempotencyRepository,
    ObjectStore,
    Outbox,
    ResultRepository,
    TallyRepository,
    migrate,
)
from app.storage.event_types import event_types
from app.telemetry.health import Health
from app.telemetry.metrics import Metrics
from app.telemetry.trace import Tracing, configured_tracing
from app.traffic import check_budgets
from app.yaml_file import config_dir


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Ground:
    """`process` is the id by which other processes know this one; batches are read from `objects`,
    and exports are written to `targets`."""

    settings: Settings
    process: str
    clock: Callable[[], datetime]
    health: Health
    metrics: Metrics
    tracing: Tracing
    database: Database
    outbox: Outbox
    domains: DomainRegistry
    idempotency: IdempotencyRepository
    results: ResultRepository
    tallies: TallyRepository
    workers: ImageWorkers
    journal: Journal
    models: ModelTable
    taught: Taught
    providers: ProviderRegistry
    blobs: BlobStore
    objects: ObjectStore
    targets: ObjectStore


async def lay_ground(
    settings: Settings, stack: AsyncExitStack, *, clock: Callable[[], datetime], lock: bool
) -> Ground:
    """`lock`: keep other serving processes off the database. Raises ConfigurationError."""
    health = Health()
    metrics = Metrics(enabled=settings.monitoring.enable_metrics)
    metrics.watch_checks(lambda: health.passed)
    tracing = configured_tracing(enabled=settings.tracing.enabled)
    stack.push_async_callback(tracing.aclose)
    database = await _open_database(settings, stack, health, lock=lock)
    domains = DomainRegistry(config_dir() / "domains.yaml", DomainRepository(database), metrics)
    await domains.load_stored()
    workers = ImageWorkers(settings.image_workers, queue=settings.image_queue)
    journal = Journal(settings.journal_folder, lines=workers.threads)
    stack.callback(journal.close)
    stack.callback(workers.close)
    models = ModelTable.read(config_dir() / "models.yaml")
    check_budgets(settings, models)
    taught = Taught()
    providers = ProviderRegistry(ProviderContext(settings, models, workers, taught))
    stack.push_async_callback(providers.aclose)
    outbox = Outbox(database, settings.operators, types=event_types(), shared=settings.shared)
    await outbox.load()
    blobs = BlobStore(settings.blobs_place)
    stack.push_async_callback(blobs.close)
    objects = ObjectStore(AllowedUris.parse(settings.batch.sources))
    stack.push_async_callback(objects.close)
    targets = ObjectStore(AllowedUris.parse(settings.export.targets, "EXPORT_TARGETS"))
    stack.push_async_callback(targets.close)
    tallies = TallyRepository(database, clock=clock)
    stack.push_async_callback(tallies.aclose)
    return Ground(
        settings=settings,
        process=new_id(PROCESS),
        clock=clock,
        health=health,
        metrics=metrics,
        tracing=tracing,
        database=database,
        outbox=outbox,
        domains=domains,
        idempotency=IdempotencyRepository(database, clock=clock),
        results=ResultRepository(database, outbox),
        tallies=tallies,
        workers=workers,
        journal=journal,
        models=models,
        taught=taught,
        providers=providers,
        blobs=blobs,
        objects=objects,
        targets=targets,
    )


async def _open_database(
    settings: Settings, stack: AsyncExitStack, health: Health, *, lock: bool
) -> Database:
    database = Database(settings.database_url)
    stack.push_async_callback(database.close)
    if lock:
        database.lock()
    await migrate(database)
    health.register(
        "storage", database.ping, "The database does not answer: nothing can be taken or told."
    )
    return database


def build_egress(
    settings: Settings, *, silence_s: float = 10.0, within_s: float = 20.0
) -> EgressClient:
    return EgressClient(
        read_timeout_s=silence_s,
        total_timeout_s=within_s,
        allow=Allowance.parse(settings.egress_allow),
        proxy=settings.egress_proxy.get_secret_value() if settings.egress_proxy else None,
    )
