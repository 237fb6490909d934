"""The way to the providers: uses their quota in full, never exceeds it, and shares it fairly."""

from app.traffic.board import Board
from app.traffic.books import Books
from app.traffic.breaker import Breaker
from app.traffic.budgets import Budgets, check_budgets
from app.traffic.call_journal import CallJournal
from app.traffic.deployment import Deployment
from app.traffic.dispatch import WORTH_ANOTHER_PROVIDER, Dispatcher, Turn
from app.traffic.enquiry import Case, Spent
from app.traffic.link import RedisLink
from app.traffic.queue import Lane
from app.traffic.state import DeploymentState, ProviderState, troubles

__all__ = [
    "WORTH_ANOTHER_PROVIDER",
    "Board",
    "Books",
    "Breaker",
    "Budgets",
    "CallJournal",
    "Case",
    "Deployment",
    "DeploymentState",
    "Dispatcher",
    "Lane",
    "ProviderState",
    "RedisLink",
    "Spent",
    "Turn",
    "check_budgets",
    "troubles",
]
