"""What is kept: results, answers to give again, domains, idempotency keys."""

from app.storage.accepted import Accepted, AcceptedRepository
from app.storage.answers import AnswerRepository, KeptAnswer
from app.storage.batch_receiving import ReceivingRepository
from app.storage.batch_rows import BadRow, BatchItem, BatchRow, BatchStatus, Committed, Outcome
from app.storage.batch_shards import ShardRepository
from app.storage.batches import BatchRepository
from app.storage.blobs import BlobStore
from app.storage.database import Database, Unit
from app.storage.domains import DomainRepository
from app.storage.engine import describe, parse_url
from app.storage.exporting import ExportRepository
from app.storage.idempotency import Claim, IdempotencyRepository
from app.storage.installation import chosen
from app.storage.migrate import migrate
from app.storage.objects import ObjectStore
from app.storage.results import ResultFilter, ResultRepository
from app.storage.retention import RetentionRepository
from app.storage.uris import AllowedUris

__all__ = [
    "Accepted",
    "AcceptedRepository",
    "AllowedUris",
    "AnswerRepository",
    "BadRow",
    "BatchItem",
    "BatchRepository",
    "BatchRow",
    "BatchStatus",
    "BlobStore",
    "Claim",
    "Committed",
    "Database",
    "DomainRepository",
    "ExportRepository",
    "IdempotencyRepository",
    "KeptAnswer",
    "ObjectStore",
    "Outcome",
    "ReceivingRepository",
    "ResultFilter",
    "ResultRepository",
    "RetentionRepository",
    "ShardRepository",
    "Unit",
    "chosen",
    "describe",
    "migrate",
    "parse_url",
]
