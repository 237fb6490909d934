"""What is kept: results, answers to give again, domains, idempotency keys."""

from app.storage.accepted import Accepted, AcceptedRepository
from app.storage.answers import AnswerRepository, KeptAnswer
from app.storage.batch_receiving import ReceivingRepository
from app.storage.batch_report import BatchReport
from app.storage.batch_rows import BadRow, BatchItem, BatchRow, BatchStatus, Committed, Outcome
from app.storage.batch_shards import ShardRepository
from app.storage.batches import BatchRepository
from app.storage.blobs import BlobStore
from app.storage.budgets import BudgetRepository, BudgetState, Purse
from app.storage.costs import CostRepository, Grouping, Pace, Spending, Sums
from app.storage.database import Database, Unit, both
from app.storage.deliveries import DeliveryRepository
from app.storage.domains import DomainRepository
from app.storage.engine import describe, parse_url
from app.storage.exporting import ExportRepository
from app.storage.idempotency import Claim, IdempotencyRepository
from app.storage.installation import chosen, replace_chosen
from app.storage.ledger import LedgerRepository
from app.storage.migrate import migrate
from app.storage.objects import ObjectStore
from app.storage.outbox import Outbox
from app.storage.repricing import NewPrice, RepricingRepository
from app.storage.results import ResultFilter, ResultRepository
from app.storage.retention import RetentionRepository
from app.storage.uris import AllowedUris
from app.storage.webhooks import WebhookRepository

__all__ = [
    "Accepted",
    "AcceptedRepository",
    "AllowedUris",
    "AnswerRepository",
    "BadRow",
    "BatchItem",
    "BatchReport",
    "BatchRepository",
    "BatchRow",
    "BatchStatus",
    "BlobStore",
    "BudgetRepository",
    "BudgetState",
    "Claim",
    "Committed",
    "CostRepository",
    "Database",
    "DeliveryRepository",
    "DomainRepository",
    "ExportRepository",
    "Grouping",
    "IdempotencyRepository",
    "KeptAnswer",
    "LedgerRepository",
    "NewPrice",
    "ObjectStore",
    "Outbox",
    "Outcome",
    "Pace",
    "Purse",
    "ReceivingRepository",
    "RepricingRepository",
    "ResultFilter",
    "ResultRepository",
    "RetentionRepository",
    "ShardRepository",
    "Spending",
    "Sums",
    "Unit",
    "WebhookRepository",
    "both",
    "chosen",
    "describe",
    "migrate",
    "parse_url",
    "replace_chosen",
]
