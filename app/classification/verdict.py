"""Whether an answer stands, or a person should look."""

from dataclasses import dataclass
from typing import Literal

from app.domains import Domain
from app.providers.base import ProviderAnswer

Reason = Literal["below_threshold", "none_of_the_classes", "image_quality"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    Attributes:
        confidence: probability of the answer, 0 to 1; for "none of these" what is left of 1.
    """

    status: Literal["accepted", "needs_review"]
    reasons: tuple[Reason, ...]
    confidence: float


def verdict(answer: ProviderAnswer, domain: Domain, *, good_picture: bool) -> Verdict:
    """Judge an answer by the domain's threshold, and by what it says of bad pictures."""
    reasons: list[Reason] = []
    if answer.label is None:
        confidence = max(0.0, 1 - sum(answer.probabilities.values()))
        reasons.append("none_of_the_classes")
    else:
        confidence = answer.probabilities[answer.label]
        if confidence < domain.confidence_threshold:
            reasons.append("below_threshold")
    if domain.quality == "review" and not good_picture:
        reasons.append("image_quality")
    return Verdict("needs_review" if reasons else "accepted", tuple(reasons), confidence)
