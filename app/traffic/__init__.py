"""The way to the providers."""

from app.traffic.dispatch import Dispatcher, Spent
from app.traffic.retry import RetryPolicy

__all__ = ["Dispatcher", "RetryPolicy", "Spent"]
