"""What is kept: results, answers to give again, domains, idempotency keys."""

from app.storage.answers import AnswerRepository, KeptAnswer
from app.storage.database import Database, Unit, parse_url
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
    "AnswerRepository",
    "Claim",
    "Database",
    "DomainRepository",
    "Failure",
    "IdempotencyRepository",
    "ImageFacts",
    "KeptAnswer",
    "Result",
    "ResultFilter",
    "ResultRepository",
    "Timings",
    "Unit",
    "Usage",
    "migrate",
    "parse_url",
]
