"""The row of a classification: while it is pending, when it is answered, when it failed."""

from datetime import UTC, datetime
from typing import Any

from app.classification.question import Question
from app.classification.stopwatch import Stopwatch
from app.classification.verdict import verdict
from app.domains import Domain
from app.errors import ClassifierError
from app.images import PreparedImage
from app.providers.base import ProviderAnswer
from app.storage import Failure, ImageFacts, Result, Usage
from app.traffic import Spent


def pending(result_id: str, question: Question, domain: Domain) -> Result:
    """Accepted, and no more known than what was asked."""
    return Result(**_asked(result_id, question, domain), status="pending")


def failed(accepted: Result, error: ClassifierError) -> Result:
    """An accepted one that never got to a provider."""
    return accepted.model_copy(
        update={"status": "failed", "error": Failure.of(error), "completed_at": datetime.now(UTC)}
    )


def completed(
    result_id: str,
    question: Question,
    domain: Domain,
    facts: dict[str, Any],
    outcome: ProviderAnswer | ClassifierError,
) -> Result:
    """What came of asking; `facts` are those of `provenance`."""
    told = (
        {"status": "failed", "error": Failure.of(outcome)}
        if isinstance(outcome, ClassifierError)
        else _answered(outcome, domain)
    )
    return Result(**_asked(result_id, question, domain), **(facts | told))


def provenance(image: PreparedImage, spent: Spent, stopwatch: Stopwatch) -> dict[str, Any]:
    """What is known whether or not there is an answer."""
    capabilities = spent.capabilities
    return {
        "provider": spent.provider,
        "model": capabilities.model if capabilities else None,
        "deployment": capabilities.deployment if capabilities else None,
        "image": ImageFacts(
            sha256=image.sha256,
            format=image.format,
            width=image.width,
            height=image.height,
            bytes=image.bytes,
            warnings=list(image.warnings),
        ),
        "usage": Usage(
            prompt_tokens=spent.usage.prompt,
            completion_tokens=spent.usage.completion,
            cost_usd=spent.usage.cost_usd,
        ),
        "timings_ms": stopwatch.timings(),
        "completed_at": datetime.now(UTC),
    }


def _answered(answer: ProviderAnswer, domain: Domain) -> dict[str, Any]:
    judged = verdict(answer, domain)
    return {
        "status": judged.status,
        "review_reasons": list(judged.reasons),
        "predicted_class": answer.label,
        "confidence": round(judged.confidence, 6),
        "probabilities": {label: round(p, 6) for label, p in answer.probabilities.items()},
        "confidence_source": answer.confidence_source,
        "model": answer.model,
        "deployment": answer.deployment,
        "provider_request_id": answer.request_id,
    }


def _asked(result_id: str, question: Question, domain: Domain) -> dict[str, Any]:
    """What is known before there is an answer."""
    return {
        "id": result_id,
        "domain": domain.name,
        "domain_version": domain.version,
        "expected": question.expected,
        "metadata": question.metadata,
        "caller": question.caller,
        "created_at": question.asked_at,
    }
