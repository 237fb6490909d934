"""Tells which class of a domain a picture shows, how confident it is, and whether to review it."""

from app import errors
from app.client import (
    AsyncImageClassifier,
    BatchProcessor,
    BatchResults,
    Classification,
    ImageClassifier,
    ServiceUnreachable,
    UnexpectedAnswer,
)
from app.errors import ClassifierError

__all__ = [
    "AsyncImageClassifier",
    "BatchProcessor",
    "BatchResults",
    "Classification",
    "ClassifierError",
    "ImageClassifier",
    "ServiceUnreachable",
    "UnexpectedAnswer",
    "errors",
]
