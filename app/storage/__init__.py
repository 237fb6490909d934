"""Everything that is persistent: the tables, a repository for each kind of row, blobs, object
stores."""

from app.storage.accepted import Accepted, AcceptedRepository
from app.storage.alerts import AlertRepository
from app.storage.answers import AnswerRepository, KeptAnswer
from app.storage.audit import AuditRepository
from app.storage.batch_receiving import ReceivingRepository
from app.storage.batch_report import BatchReport
from app.storage.batch_rows import BadRow, BatchItem, BatchRow, BatchStatus, Committed, ItemOutcome
from app.storage.batch_shards import ShardRepository
from app.storage.batches import BatchRepository
from app.storage.blobs import BlobStore
from app.storage.boards import BoardRepository
from app.storage.budget_sums import Purse
from app.storage.budgets import BudgetRepository, BudgetState
from app.storage.calibrations import CalibrationKey, CalibrationRepository, CalibrationRow
from app.storage.costs import CostRepository, Grouping, Pace, Spending, Sums
from app.storage.database import Database, Unit, both
from app.storage.deliveries import DeliveryRepository
from app.storage.domains import DomainRepository
from app.storage.engine import describe, parse_url
from app.storage.erasures import ErasureRepository
from app.storage.evaluations import EvaluationRepository, EvaluationRow
from app.storage.examples import ExampleChange, ExampleRepository, ExampleRow
from app.storage.exporting import ExportRepository
from app.storage.idempotency import Claim, IdempotencyRepository
from app.storage.installation import chosen
from app.storage.labelled import LabelledAnswer, LabelledRepository
from app.storage.ledger import LedgerRepository
from app.storage.lessons import LessonRepository, LessonRow
from app.storage.migrate import migrate
from app.storage.objects import ObjectStore
from app.storage.outbox import Outbox
from app.storage.published import PublishedRepository
from app.storage.repricing import NewPrice, RepricingRepository
from app.storage.results import ResultFilter, ResultRepository
from app.storage.retention import RetentionRepository
from app.storage.review_changes import ReviewChange, ReviewChanges, Reviewed
from app.storage.review_queue import queueing
from app.storage.review_rows import ReviewCount, Reviewer, ReviewRow, ReviewStep, ToReview
from app.storage.reviews import ReviewRepository
from app.storage.tallies import TallyRepository
from app.storage.uris import AllowedUris
from app.storage.webhooks import WebhookRepository

__all__ = [
    "Accepted",
    "AcceptedRepository",
    "AlertRepository",
    "AllowedUris",
    "AnswerRepository",
    "AuditRepository",
    "BadRow",
    "BatchItem",
    "BatchReport",
    "BatchRepository",
    "BatchRow",
    "BatchStatus",
    "BlobStore",
    "BoardRepository",
    "BudgetRepository",
    "BudgetState",
    "CalibrationKey",
    "CalibrationRepository",
    "CalibrationRow",
    "Claim",
    "Committed",
    "CostRepository",
    "Database",
    "DeliveryRepository",
    "DomainRepository",
    "ErasureRepository",
    "EvaluationRepository",
    "EvaluationRow",
    "ExampleChange",
    "ExampleRepository",
    "ExampleRow",
    "ExportRepository",
    "Grouping",
    "IdempotencyRepository",
    "ItemOutcome",
    "KeptAnswer",
    "LabelledAnswer",
    "LabelledRepository",
    "LedgerRepository",
    "LessonRepository",
    "LessonRow",
    "NewPrice",
    "ObjectStore",
    "Outbox",
    "Pace",
    "PublishedRepository",
    "Purse",
    "ReceivingRepository",
    "RepricingRepository",
    "ResultFilter",
    "ResultRepository",
    "RetentionRepository",
    "ReviewChange",
    "ReviewChanges",
    "ReviewCount",
    "ReviewRepository",
    "ReviewRow",
    "ReviewStep",
    "Reviewed",
    "Reviewer",
    "ShardRepository",
    "Spending",
    "Sums",
    "TallyRepository",
    "ToReview",
    "Unit",
    "WebhookRepository",
    "both",
    "chosen",
    "describe",
    "migrate",
    "parse_url",
    "queueing",
]
