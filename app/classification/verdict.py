"""Whether an answer stands, or a person should look."""

from dataclasses import dataclass
from typing import Literal

from app.domains import Domain
from app.providers.base import ProviderAnswer

Reason = Literal["below_threshold", "none_of_the_classes"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    Attributes:
        confidence: probability of the answer, 0 to 1; for "none of these" what is left of 1.
    """

    status: Literal["accepted", "needs_review"]
    reasons: tuple[Reason, ...]
    confidence: float


def verdict(answer: ProviderAnswer, domain: Domain) -> Verdict:
    """Judge an answer by the domain's threshold."""
    if answer.label is None:
        rest = max(0.0, 1 - sum(answer.probabilities.values()))
        return Verdict("needs_review", ("none_of_the_classes",), rest)
    confidence = answer.probabilities[answer.label]
    if confidence < domain.confidence_threshold:
        return Verdict("needs_review", ("below_threshold",), confidence)
    return Verdict("accepted", (), confidence)
