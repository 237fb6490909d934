"""The one place where parts are built and joined."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from app.classification import ClassificationService, Once
from app.domains import DomainRegistry
from app.egress import Allowance, EgressClient
from app.errors import Interrupted
from app.images import ImageReader, ImageWorkers
from app.providers.base import ProviderContext
from app.providers.profiles import ModelTable
from app.providers.registry import ProviderRegistry
from app.settings import Settings, config_dir
from app.storage import (
    Database,
    DomainRepository,
    Failure,
    IdempotencyRepository,
    ResultRepository,
    migrate,
)
from app.telemetry.health import Health
from app.telemetry.metrics import Metrics
from app.traffic import Dispatcher, RetryPolicy

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
    results: ResultRepository
    classification: ClassificationService
    once: Once


@asynccontextmanager
async def build_parts(settings: Settings, *, serving: bool = False) -> AsyncIterator[Parts]:
    """Build, start, and in the end drain and close all parts.

    `serving`: this process is the one that works on its database: it keeps others off, and settles
    what an earlier one left unfinished. Raises ConfigurationError.
    """
    health = Health()
    metrics = Metrics(enabled=settings.monitoring.enable_metrics)
    database = Database(settings.database_url)
    if serving:
        database.lock()
    await migrate(database)
    health.register("storage", database.ping)
    results = ResultRepository(database)
    keys = IdempotencyRepository(database)
    if serving:
        await _settle_unfinished(results, keys)

    domains = DomainRegistry(config_dir() / "domains.yaml", DomainRepository(database), metrics)
    await domains.load_stored()

    egress = EgressClient(allow=Allowance.parse(settings.egress_allow))
    workers = ImageWorkers(settings.image_workers)
    models = ModelTable.read(config_dir() / "models.yaml")
    providers = ProviderRegistry(ProviderContext(settings, models, workers))
    limit, _ = settings.requests_per_minute
    dispatcher = Dispatcher(
        providers,
        RetryPolicy(retries=settings.api.max_retries, total_s=settings.api.timeout),
        metrics,
        health,
        requests_per_minute=limit,
    )
    classification = ClassificationService(
        domains=domains,
        reader=ImageReader(egress, max_bytes=settings.max_upload),
        workers=workers,
        dispatcher=dispatcher,
        results=results,
        metrics=metrics,
        default_provider=settings.provider_name,
    )
    once = Once(keys, results, classification, patience_s=settings.api.timeout)
    await providers.get(settings.provider_name)
    try:
        yield Parts(
            settings, health, metrics, database, domains, providers, results, classification, once
        )
    finally:
        await classification.drain(seconds=settings.drain_timeout)
        await providers.aclose()
        await egress.aclose()
        workers.close()
        await database.close()


async def _settle_unfinished(results: ResultRepository, keys: IdempotencyRepository) -> None:
    reason = Failure.of(Interrupted("The service stopped before the answer came."))
    count = await results.fail_interrupted(reason)
    await keys.release_unanswered()
    if count:
        log.warning("accepted pictures were cut off by a crash and are failed now", count=count)
