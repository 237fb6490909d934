"""What a caller wants to know."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app.budget import Budget, Payer
from app.domains import Domain
from app.errors import LabelNotInDomain
from app.images import ImageSource
from app.traffic import Lane


@dataclass(frozen=True, slots=True)
class Question:
    """What a caller wants to know.

    Attributes:
        provider: the one that shall answer; None: as the domain or the settings say.
        expected: the true class where it is known.
        fresh: no earlier answer will do.
        lane: whether a client waits for the answer.
        callback_url: where the outcome of an accepted picture is sent.
        batch_id, budget: of the batch that the question belongs to.
    """

    source: ImageSource
    domain: str
    caller: str
    provider: str | None = None
    expected: str | None = None
    metadata: dict[str, Any] | None = None
    fresh: bool = False
    lane: Lane = "interactive"
    callback_url: str | None = None
    batch_id: str | None = None
    budget: Budget | None = None
    asked_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def payer(self) -> Payer:
        return Payer(self.caller, self.batch_id, self.budget)


def check_label(label: str | None, domain: Domain) -> None:
    """Raises LabelNotInDomain, naming the classes there are."""
    if label is not None and label not in domain.truths:
        raise LabelNotInDomain(f"{label[:100]!r} is none of {', '.join(domain.labels)}.")
