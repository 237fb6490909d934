"""The Python client: runs the service in this process, or calls one over HTTP."""

from app.client.batches import BatchProcessor
from app.client.classifier import AsyncImageClassifier, ImageClassifier
from app.client.problems import ServiceUnreachable, UnexpectedAnswer
from app.client.results import BatchResults, Classification

__all__ = [
    "AsyncImageClassifier",
    "BatchProcessor",
    "BatchResults",
    "Classification",
    "ImageClassifier",
    "ServiceUnreachable",
    "UnexpectedAnswer",
]
