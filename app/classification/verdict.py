"""Whether an answer stands, or a person should look."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from app.domains import Domain
from app.providers.base import ProviderAnswer
from app.result import none_of_these

Reason = Literal[
    "below_threshold",
    "close_second",
    "none_of_the_classes",
    "provider_disagreement",
    "image_quality",
    "degraded",
    "ood",
]


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    Attributes:
        confidence: probability of the answer, 0 to 1; for "none of these", what the classes leave
            of 1.
    """

    status: Literal["accepted", "needs_review"]
    reasons: tuple[Reason, ...]
    confidence: float


def verdict(
    answer: ProviderAnswer,
    domain: Domain,
    *,
    good_picture: bool,
    degraded: bool,
    contradicted: bool = False,
    threshold: float = 0.0,
) -> Verdict:
    """Judge an answer by the domain's threshold (or `threshold`, where that is higher), its margin
    and its rule for bad pictures, and by who gave the answer.

    Reasons come in this order: those of the answer itself, another provider's answer, the quality
    of the picture, who answered, and whether the picture belongs to the domain at all.

    Args:
        degraded: the answer is a fallback's, and nobody knows what its confidence means here.
        contradicted: another provider gave another class, and the domain wants that reviewed.
    """
    sure = confidence(answer)
    besides: dict[Reason, bool] = {
        "provider_disagreement": contradicted,
        "image_quality": domain.quality == "review" and not good_picture,
        "degraded": degraded,
        "ood": answer.out_of_domain,
    }
    reasons = (
        *_of_itself(answer, sure, max(threshold, domain.confidence_threshold), domain),
        *(reason for reason, applies in besides.items() if applies),
    )
    return Verdict("needs_review" if reasons else "accepted", reasons, sure)


def confidence(answer: ProviderAnswer) -> float:
    """The probability of the answer; for "none of these", what the classes leave of 1."""
    if answer.label is None:
        return none_of_these(answer.probabilities)
    return answer.probabilities[answer.label]


def _of_itself(
    answer: ProviderAnswer, sure: float, threshold: float, domain: Domain
) -> Iterator[Reason]:
    if answer.label is None:
        yield "none_of_the_classes"
        return
    if sure < threshold:
        yield "below_threshold"
    if sure - _second(answer, domain) < domain.margin:
        yield "close_second"


def _second(answer: ProviderAnswer, domain: Domain) -> float:
    others = [p for label, p in answer.probabilities.items() if label != answer.label]
    if domain.allow_none:
        others.append(none_of_these(answer.probabilities))
    return max(others, default=0.0)
