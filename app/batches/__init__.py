"""Durable bulk work: how a batch is taken in, and completed whatever process dies meanwhile."""

from app.batches.affording import Affording
from app.batches.at_uri import rows_at
from app.batches.estimate import BatchEstimate, Estimator, TokenRange
from app.batches.manifest import ManifestRow, read_row
from app.batches.options import BatchOptions
from app.batches.reading import Reading
from app.batches.rows import Row, Unusable
from app.batches.runner import BatchRunner
from app.batches.sources import Files
from app.batches.taking_in import RECEIVED_WITHIN_S, TakingIn

__all__ = [
    "RECEIVED_WITHIN_S",
    "Affording",
    "BatchEstimate",
    "BatchOptions",
    "BatchRunner",
    "Estimator",
    "Files",
    "ManifestRow",
    "Reading",
    "Row",
    "TakingIn",
    "TokenRange",
    "Unusable",
    "read_row",
    "rows_at",
]
