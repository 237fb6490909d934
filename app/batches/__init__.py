"""Durable bulk work: how a batch is taken in, and completed whatever process dies meanwhile."""

from app.batches.estimate import BatchEstimate, Estimator
from app.batches.options import BatchOptions
from app.batches.runner import BatchRunner
from app.batches.taking_in import TakingIn

__all__ = ["BatchEstimate", "BatchOptions", "BatchRunner", "Estimator", "TakingIn"]
