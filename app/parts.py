"""The one place where parts are built and joined."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from random import SystemRandom

import structlog

from app.alerts import Alerting, Rules, Sources, open_targets
from app.analytics import Costs, Qualities, Repricing
from app.batches import BatchRunner, Estimator, TakingIn
from app.batches.affording import Affording
from app.batches.reading import Reading
from app.batches.taking_in import RECEIVED_WITHIN_S
from app.calibration import (
    LOOKED_EVERY_S,
    SURE_AFTER_S,
    Calibrations,
    Surenesses,
    ThresholdFinder,
)
from app.classification import (
    Accepting,
    Asking,
    Cascading,
    ClassificationService,
    Eliciting,
    Intake,
    Keeper,
    Once,
    Reviewing,
    Showing,
    Standing,
)
from app.classification.accepting import MAX_PENDING
from app.domains import DomainRegistry
from app.egress import Allowance, EgressClient
from app.errors import ConfigurationError, Interrupted, ProviderUnknown
from app.evaluation import Evaluations, Labelled
from app.identifiers import PROCESS, new_id
from app.images import ImageReader, ImageWorkers, Journal
from app.providers.base import ProviderContext
from app.providers.profiles import ModelTable
from app.providers.registry import ProviderRegistry
from app.providers.taught import Taught
from app.recurring import Recurring
from app.result import Failure
from app.retention import Retention
from app.reviews import Pictures, Reviews
from app.settings import Settings
from app.storage import (
    AcceptedRepository,
    AlertRepository,
    AllowedUris,
    AnswerRepository,
    BatchRepository,
    BlobStore,
    BoardRepository,
    BudgetRepository,
    CalibrationRepository,
    Committed,
    CostRepository,
    Database,
    DeliveryRepository,
    DomainRepository,
    EvaluationRepository,
    ExampleRepository,
    ExportRepository,
    IdempotencyRepository,
    LabelledRepository,
    LedgerRepository,
    LessonRepository,
    ObjectStore,
    Outbox,
    ReceivingRepository,
    RepricingRepository,
    ResultRepository,
    RetentionRepository,
    ReviewChanges,
    ReviewRepository,
    ShardRepository,
    TallyRepository,
    WebhookRepository,
    chosen,
    migrate,
)
from app.teaching import LOOKED_EVERY_S as LEARNED_EVERY_S
from app.teaching import Collecting, FromReviews, Lessons
from app.telemetry.event_loop import LagWatch
from app.telemetry.health import Health
from app.telemetry.metrics import Metrics
from app.telemetry.trace import Tracing, configured_tracing
from app.traffic import Board, Books, Budgets, CallJournal, Dispatcher, RedisLink
from app.traffic.budgets import check_budgets
from app.traffic.state import troubles
from app.webhooks import AT_ONCE as WEBHOOKS_AT_ONCE
from app.webhooks import (
    Deliveries,
    Sender,
    Webhooks,
    configured_callback_secret,
    configured_vault,
)
from app.work import Work
from app.yaml_file import config_dir

log = structlog.stdlib.get_logger(__name__)

LOOKED_THROUGH_EVERY_S = 60.0
"""For work that lost its task, because Redis or a process did."""

CHECKED_EVERY_S = 15.0
"""What /health checks, so that metrics know without being asked."""

RETENTION_AFTER_S, RETENTION_EVERY_S, FITTED_AFTER_S = 60.0, 3_600.0, 60.0
"""A start has other things to do."""

SHARED_LINGER_S, LINGER_S = 1.0, 10.0
"""How long a task waits for more to send to its webhook: a new one costs more than many deliveries.
What other processes tell it does not hear of before it ends."""

ROLLED_EVERY_S = 1.0
FORGOTTEN_EVERY_S = 3_600.0

DOMAINS_EVERY_S = 2.0
FOLLOWED_EVERY_S = 0.5
"""Until what one process changed, of domains, webhooks and calibrations or of a batch, holds in
all."""


@dataclass(frozen=True, slots=True)
class Parts:
    """All that a face of the service (HTTP, command line) needs."""

    settings: Settings
    health: Health
    metrics: Metrics
    tracing: Tracing
    database: Database
    domains: DomainRegistry
    providers: ProviderRegistry
    books: Books
    dispatcher: Dispatcher
    board: Board
    results: ResultRepository
    exports: ExportRepository
    costs: Costs
    tallies: TallyRepository
    qualities: Qualities
    evaluations: Evaluations
    repricing: Repricing
    batches: BatchRepository
    receiving: ReceivingRepository
    objects: ObjectStore
    targets: ObjectStore
    taking_in: TakingIn
    estimator: Estimator
    runner: BatchRunner
    calibrations: Calibrations
    thresholds: ThresholdFinder
    examples: ExampleRepository
    collecting: Collecting
    lessons: Lessons
    from_reviews: FromReviews
    surenesses: Surenesses
    classification: ClassificationService
    accepting: Accepting
    once: Once
    reviews: Reviews
    pictures: Pictures
    retention: Retention
    alerting: Alerting
    outbox: Outbox
    webhooks: Webhooks
    deliveries: Deliveries
    sent: DeliveryRepository


@asynccontextmanager
async def build_parts(settings: Settings, *, serving: bool = False) -> AsyncIterator[Parts]:
    """Build, start, and in the end drain and close all parts.

    `serving`: this process works on its database. Unless several share the work it keeps others
    off, and settles what an earlier one left unfinished. Raises ConfigurationError.
    """
    async with AsyncExitStack() as stack:
        yield await _build(settings, stack, serving=serving)


async def _build(settings: Settings, stack: AsyncExitStack, *, serving: bool) -> Parts:
    """What is built first is closed last."""
    health = Health()
    metrics = Metrics(enabled=settings.monitoring.enable_metrics)
    metrics.watch_checks(lambda: health.passed)
    tracing = configured_tracing(enabled=settings.tracing.enabled)
    stack.push_async_callback(tracing.aclose)
    database = await _open_database(settings, stack, health, lock=serving and not settings.shared)
    keys = IdempotencyRepository(database)
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
    outbox = Outbox(database, settings.operators, shared=settings.shared)
    await outbox.load()
    ledger = LedgerRepository(database, outbox)
    books = await _build_books(settings, stack, database, outbox, ledger)
    dispatcher, board = await _build_traffic(
        settings, stack, database, providers, metrics, health, books
    )

    blobs = BlobStore(settings.blobs_place)
    stack.push_async_callback(blobs.close)
    objects = ObjectStore(AllowedUris.parse(settings.batch.sources))
    stack.push_async_callback(objects.close)
    targets = ObjectStore(AllowedUris.parse(settings.export.targets, "EXPORT_TARGETS"))
    stack.push_async_callback(targets.close)
    tallies = TallyRepository(database, clock=now)
    stack.push_async_callback(tallies.aclose)
    results = ResultRepository(database, outbox)
    exports = ExportRepository(database, results)
    answers = await _load_answers(settings, database)
    reader = ImageReader(
        _build_egress(settings), workers, blobs, objects, max_bytes=settings.max_upload
    )
    pictures, shards, events = await _build_work(settings, stack, database, serving=serving)
    labelled = LabelledRepository(database)
    calibrations = Calibrations(
        CalibrationRepository(database),
        labelled,
        domains,
        metrics,
        process=new_id(PROCESS),
        clock=now,
    )
    await calibrations.load()
    surenesses = Surenesses(labelled, calibrations, domains, providers)
    await surenesses.look()
    standing = Standing(calibrations, surenesses)
    examples, taught_rows = ExampleRepository(database), LessonRepository(database)
    showing = Showing(examples, taught_rows, blobs, workers, providers, taught)
    intake = Intake(
        reader, workers, journal, answers, providers, settings.quality, standing, showing
    )
    collecting = Collecting(examples, intake, workers, blobs, providers, clock=now)
    lessons = Lessons(taught_rows, examples, collecting, domains, taught, metrics, clock=now)
    await lessons.load()
    classification = ClassificationService(
        domains=domains,
        intake=intake,
        asking=Asking(
            Cascading(Eliciting(dispatcher, showing), standing, providers),
            joinable_s=settings.api.timeout / 2,
        ),
        results=results,
        answers=answers,
        metrics=metrics,
        tracing=tracing,
        ledger=ledger,
        tallies=tallies,
        reviewing=Reviewing(intake, blobs, random_share=settings.review.random_share),
        books=books,
        calibrations=calibrations,
        default_provider=settings.provider_name,
        shared=settings.shared,
    )
    keeper = Keeper(AcceptedRepository(database), blobs, results, domains)
    committed = None if settings.shared else Committed()
    batches = BatchRepository(database, outbox, committed)
    receiving = ReceivingRepository(database)
    runner = BatchRunner(
        batches,
        ShardRepository(database, outbox, committed, classification.saved_by_duplicate),
        classification,
        shards,
        metrics,
        in_flight=settings.batch.in_flight,
    )
    sent = DeliveryRepository(database, outbox)
    webhooks, deliveries = await _build_webhooks(
        settings, database, outbox, sent, domains, events, metrics, tracing, serving=serving
    )
    stack.push_async_callback(_drain, classification, runner, deliveries, settings.drain_timeout)
    waiting = ReviewRepository(database)
    reading = Reading(settings.batch, objects.allowed)
    affording = Affording(
        books.budgets,
        dispatcher,
        results,
        receiving,
        intake,
        showing,
        default_provider=settings.provider_name,
    )
    parts = Parts(
        settings=settings,
        health=health,
        metrics=metrics,
        tracing=tracing,
        database=database,
        domains=domains,
        providers=providers,
        books=books,
        dispatcher=dispatcher,
        board=board,
        results=results,
        exports=exports,
        costs=Costs(CostRepository(database), clock=now),
        tallies=tallies,
        qualities=Qualities(tallies, clock=now),
        evaluations=Evaluations(
            EvaluationRepository(database),
            Labelled(exports, batches, domains),
            domains,
            blobs,
            clock=now,
        ),
        repricing=Repricing(RepricingRepository(database), models, settings),
        batches=batches,
        receiving=receiving,
        objects=objects,
        targets=targets,
        taking_in=TakingIn(receiving, batches, keys, blobs, domains, reading, affording),
        estimator=Estimator(domains, intake, metrics, reading, affording, standing),
        runner=runner,
        calibrations=calibrations,
        thresholds=ThresholdFinder(labelled, calibrations, domains),
        examples=examples,
        collecting=collecting,
        lessons=lessons,
        from_reviews=FromReviews(
            examples,
            collecting,
            lessons,
            domains,
            settings.teaching,
            process=new_id(PROCESS),
            clock=now,
        ),
        surenesses=surenesses,
        classification=classification,
        accepting=Accepting(
            classification,
            domains,
            intake,
            results,
            keeper if database.lasts else None,
            metrics,
            tracing,
            pictures if settings.shared else None,
        ),
        once=Once(keys, results, classification, patience_s=settings.api.timeout),
        reviews=Reviews(
            waiting,
            ReviewChanges(database, outbox),
            results,
            domains,
            metrics,
            claim_s=settings.review.claim,
            clock=now,
            random=SystemRandom(),
        ),
        pictures=Pictures(waiting, blobs, intake, domains),
        retention=Retention(RetentionRepository(database), blobs, settings.retention),
        alerting=_build_alerting(settings, database, outbox, tallies, board, metrics),
        outbox=outbox,
        webhooks=webhooks,
        deliveries=deliveries,
        sent=sent,
    )
    if serving:
        for work in (pictures, shards, events):
            work.start()
        await _begin(parts, keys, stack)
    return parts


async def _drain(
    classification: ClassificationService,
    runner: BatchRunner,
    deliveries: Deliveries,
    seconds: float,
) -> None:
    """All at the same time: whoever stops the process waits this long only."""
    await asyncio.gather(
        classification.drain(seconds=seconds),
        runner.stop(seconds=seconds),
        deliveries.stop(seconds=seconds),
    )


async def _build_webhooks(
    settings: Settings,
    database: Database,
    outbox: Outbox,
    sent: DeliveryRepository,
    domains: DomainRegistry,
    work: Work,
    metrics: Metrics,
    tracing: Tracing,
    *,
    serving: bool,
) -> tuple[Webhooks, Deliveries]:
    rows = WebhookRepository(database, outbox)
    webhooks = Webhooks(
        database,
        rows,
        outbox,
        await configured_vault(settings),
        domains,
        Allowance.parse(settings.egress_allow),
        callback_secret=configured_callback_secret(settings),
        clock=now,
    )
    timeout_s = settings.webhooks.timeout
    deliveries = Deliveries(
        outbox,
        sent,
        rows,
        webhooks,
        Sender(
            _build_egress(settings, silence_s=timeout_s, within_s=timeout_s), tracing, clock=now
        ),
        work,
        metrics,
        settings.webhooks,
        kicks=serving or settings.shared,
        clock=now,
        monotonic=time.monotonic,
        linger_s=SHARED_LINGER_S if settings.shared else LINGER_S,
    )
    return webhooks, deliveries


def _build_alerting(
    settings: Settings,
    database: Database,
    outbox: Outbox,
    tallies: TallyRepository,
    board: Board,
    metrics: Metrics,
) -> Alerting:
    monitoring = settings.monitoring
    return Alerting(
        Rules(config_dir() / "alerts.yaml", monitoring.alert_thresholds),
        Sources(
            tallies,
            CostRepository(database),
            board,
            WebhookRepository(database, outbox),
            ExampleRepository(database),
        ),
        AlertRepository(database, outbox),
        open_targets(monitoring.notify),
        metrics,
        process=new_id(PROCESS),
        every_s=monitoring.alerts_every,
        clock=now,
    )


def now() -> datetime:
    return datetime.now(UTC)


async def _load_answers(settings: Settings, database: Database) -> AnswerRepository:
    answers = AnswerRepository(
        database,
        ttl_s=settings.cache.ttl,
        max_entries=settings.cache.max_entries,
        shared=settings.shared,
    )
    if answers.enabled:
        await answers.load_models()
    return answers


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


def _build_egress(
    settings: Settings, *, silence_s: float = 10.0, within_s: float = 20.0
) -> EgressClient:
    return EgressClient(
        read_timeout_s=silence_s,
        total_timeout_s=within_s,
        allow=Allowance.parse(settings.egress_allow),
        proxy=settings.egress_proxy.get_secret_value() if settings.egress_proxy else None,
    )


async def _build_work(
    settings: Settings, stack: AsyncExitStack, database: Database, *, serving: bool
) -> tuple[Work, Work, Work]:
    """For accepted pictures, shards of batches and webhooks: none has to wait behind the others."""
    redis_url, installation = None, ""
    if settings.shared and settings.redis_url is not None:
        redis_url = settings.redis_url.get_secret_value()
        # Tasks of another database in the same Redis are none of ours.
        installation = await chosen(database, "id", new_id("ins"))
    built = []
    for name, at_once in (
        ("pictures", MAX_PENDING),
        ("shards", settings.batch.shards_at_once),
        ("webhooks", WEBHOOKS_AT_ONCE),
    ):
        work = Work(
            f"{installation}-{name}",
            at_once=at_once,
            redis_url=redis_url,
            runs=settings.work and (serving or not settings.shared),
        )
        stack.push_async_callback(work.aclose)
        built.append(work)
    pictures, shards, events = built
    return pictures, shards, events


async def _begin(parts: Parts, keys: IdempotencyRepository, stack: AsyncExitStack) -> None:
    """Go on with what is unfinished, and look again and again for what others left."""
    stack.push_async_callback(parts.alerting.aclose)
    recurring = Recurring()
    stack.push_async_callback(recurring.aclose)
    if parts.settings.shared:
        # Whoever is at it is alive: only what is too old was left behind.
        recurring.every(DOMAINS_EVERY_S, "domains", parts.domains.load_stored)
        recurring.every(DOMAINS_EVERY_S, "webhooks", parts.outbox.load)
        left_behind = partial(_settle, parts, keys, RECEIVED_WITHIN_S)
        recurring.every(LOOKED_THROUGH_EVERY_S, "left behind", left_behind)
        recurring.every(LOOKED_THROUGH_EVERY_S, "accepted", parts.accepting.kick_waiting)
    else:
        await _settle(parts, keys, 0)
        if count := await parts.accepting.resume():
            log.info("accepted pictures of an earlier process are gone on with", count=count)
        if count := await parts.results.fail_interrupted(Failure.of(Interrupted())):
            log.warning("accepted pictures were cut off by a crash and are failed now", count=count)
    # A command may have fitted one.
    recurring.every(DOMAINS_EVERY_S, "calibrations", parts.calibrations.load)
    recurring.every(DOMAINS_EVERY_S, "lessons", parts.lessons.load)
    recurring.every(SURE_AFTER_S, "cascades", parts.surenesses.look)
    if parts.settings.calibration.automatic:
        recurring.every(
            LOOKED_EVERY_S, "fits", parts.calibrations.look, first_after_s=FITTED_AFTER_S
        )
    if parts.settings.teaching.automatic:
        recurring.every(
            LEARNED_EVERY_S, "examples", parts.from_reviews.look, first_after_s=FITTED_AFTER_S
        )
    recurring.every(ROLLED_EVERY_S, "tallies", parts.tallies.roll)
    recurring.every(FORGOTTEN_EVERY_S, "old sums", parts.tallies.forget)
    lag = LagWatch(parts.metrics)
    lag.start()
    stack.callback(lag.stop)
    recurring.every(CHECKED_EVERY_S, "checks", parts.health.check)
    recurring.every(LOOKED_THROUGH_EVERY_S, "calls", parts.books.recover)
    recurring.every(LOOKED_THROUGH_EVERY_S, "sums", parts.books.sum_of_the_dead)
    recurring.every(LOOKED_THROUGH_EVERY_S, "reviews", parts.reviews.count_waiting)
    recurring.every(LOOKED_THROUGH_EVERY_S, "batches", parts.runner.look)
    recurring.every(LOOKED_THROUGH_EVERY_S, "deliveries", parts.deliveries.look)
    alerts_every_s = parts.settings.monitoring.alerts_every
    recurring.every(alerts_every_s, "alerts", parts.alerting.look, first_after_s=alerts_every_s)
    recurring.every(FOLLOWED_EVERY_S, "batches at work", parts.runner.follow)
    recurring.every(
        RETENTION_EVERY_S,
        "retention",
        parts.retention.keep_to_policy,
        first_after_s=RETENTION_AFTER_S,
    )


async def _settle(parts: Parts, keys: IdempotencyRepository, older_than_s: float) -> None:
    """What a process left that nobody can go on with."""
    await parts.receiving.forget_unreceived(older_than_s=older_than_s)
    await keys.release_unanswered(older_than_s=older_than_s)


async def _build_books(
    settings: Settings,
    stack: AsyncExitStack,
    database: Database,
    outbox: Outbox,
    ledger: LedgerRepository,
) -> Books:
    process, leases = new_id(PROCESS), BudgetRepository(database)
    folder = settings.calls_folder
    if folder is not None:
        # Calls of another database in the same folder are none of ours.
        folder /= await chosen(database, "id", new_id("ins"))
    books = Books(
        process,
        CallJournal(folder, process),
        ledger,
        Budgets(leases, settings.budgets, process=process, clock=now),
        leases,
        clock=now,
    )
    await books.open()
    stack.push_async_callback(books.aclose)
    return books


async def _build_traffic(
    settings: Settings,
    stack: AsyncExitStack,
    database: Database,
    providers: ProviderRegistry,
    metrics: Metrics,
    health: Health,
    books: Books,
) -> tuple[Dispatcher, Board]:
    link = await _build_link(settings, stack, metrics, health)
    dispatcher = Dispatcher(providers, settings, metrics, health, books, link=link)
    stack.push_async_callback(dispatcher.aclose)
    try:
        await dispatcher.open(settings.provider_name)
    except ProviderUnknown as error:
        raise ConfigurationError(f"PROVIDER: {error}") from error
    health.watch(lambda: troubles(dispatcher.states()))
    kept = BoardRepository(database) if settings.shared else None
    board = Board(dispatcher.states, link, lambda: health.passed, kept)
    board.start()
    stack.push_async_callback(board.aclose)
    return dispatcher, board


async def _build_link(
    settings: Settings, stack: AsyncExitStack, metrics: Metrics, health: Health
) -> RedisLink | None:
    if settings.redis_url is None:
        return None
    link = RedisLink(settings.redis_url.get_secret_value(), processes=settings.traffic.processes)
    await link.open()
    stack.push_async_callback(link.aclose)
    health.register(
        "quota",
        link.ping,
        "Redis does not answer: each process keeps to its share of the quota, and what is shared "
        "out as background work waits.",
        essential=False,
    )
    metrics.watch_sharing(lambda: link.connected)
    return link
