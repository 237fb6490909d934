"""The way to the providers: their quota spent in full, never exceeded, shared out fairly."""

from app.traffic.dispatch import Dispatcher, Spent
from app.traffic.shared import RedisLink
from app.traffic.state import DeploymentState, ProviderState

__all__ = ["DeploymentState", "Dispatcher", "ProviderState", "RedisLink", "Spent"]
