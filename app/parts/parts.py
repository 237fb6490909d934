"""All that an interface of the service needs."""

from dataclasses import dataclass

from app.alerts import Alerting
from app.analytics import Costs, Qualities, Repricing
from app.batches import BatchRunner, Estimator, TakingIn
from app.calibration import Calibrations, Surenesses, ThresholdFinder
from app.classification import Accepting, ClassificationService, Once, Running
from app.domains import DomainRegistry
from app.erasing import Erasing
from app.evaluation import Evaluations
from app.providers.registry import ProviderRegistry
from app.retention import Retention
from app.reviews import Pictures, Reviews
from app.settings import Settings
from app.storage import (
    AuditRepository,
    BatchRepository,
    Database,
    DeliveryRepository,
    ExampleRepository,
    ExportRepository,
    IdempotencyRepository,
    ObjectStore,
    Outbox,
    ReceivingRepository,
    ResultRepository,
    TallyRepository,
)
from app.teaching import Collecting, FromReviews, Lessons
from app.telemetry.health import Health
from app.telemetry.metrics import Metrics
from app.telemetry.trace import Tracing
from app.traffic import Board, Books, Dispatcher
from app.webhooks import Deliveries, Publisher, Webhooks


@dataclass(frozen=True, slots=True)
class Parts:
    """All that an interface of the service (HTTP, command line) needs."""

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
    idempotency: IdempotencyRepository
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
    running: Running
    accepting: Accepting
    once: Once
    reviews: Reviews
    pictures: Pictures
    retention: Retention
    alerting: Alerting
    outbox: Outbox
    webhooks: Webhooks
    publisher: Publisher
    deliveries: Deliveries
    delivery_rows: DeliveryRepository
    audit: AuditRepository
    erasing: Erasing
