"""What is kept: results, domains, idempotency keys."""

from app.storage.database import Database, parse_url
from app.storage.domains import DomainRepository
from app.storage.idempotency import Claim, IdempotencyRepository
from app.storage.migrate import migrate
from app.storage.results import (
    Failure,
    ImageFacts,
    Result,
    ResultFilter,
    ResultRepository,
    Timings,
    Usage,
)

__all__ = [
    "Claim",
    "Database",
    "DomainRepository",
    "Failure",
    "IdempotencyRepository",
    "ImageFacts",
    "Result",
    "ResultFilter",
    "ResultRepository",
    "Timings",
    "Usage",
    "migrate",
    "parse_url",
]
