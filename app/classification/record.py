"""The row of a classification: while it is pending, when it is answered, when it failed."""

from datetime import UTC, datetime
from typing import Any

from app.classification.asking import Asked
from app.classification.intake import Picture
from app.classification.question import Question
from app.classification.stopwatch import Stopwatch
from app.classification.verdict import verdict
from app.domains import Domain
from app.errors import ClassifierError
from app.providers.base import ProviderAnswer
from app.result import Failure, ImageFacts, Result, Usage
from app.storage import KeptAnswer


def pending(result_id: str, question: Question, domain: Domain) -> Result:
    """Accepted, and no more known than what was asked."""
    return Result(**_known(result_id, question, domain), status="pending")


def failed(result_id: str, question: Question, domain: Domain, error: ClassifierError) -> Result:
    """One that never got to a provider."""
    return Result(
        **_known(result_id, question, domain),
        status="failed",
        error=Failure.of(error),
        completed_at=datetime.now(UTC),
    )


def completed(
    result_id: str,
    question: Question,
    domain: Domain,
    picture: Picture,
    asked: Asked,
    stopwatch: Stopwatch,
) -> Result:
    """What came of asking."""
    return Result(
        **_known(result_id, question, domain)
        | _spent(asked, stopwatch)
        | {"image": _image(picture, asked.outcome)}
        | _told(picture, asked.outcome, domain)
    )


def to_keep(picture: Picture, asked: Asked) -> KeptAnswer | None:
    """The answer, when it is a new one of the provider that the picture's key is about."""
    answer, provider = asked.outcome, picture.provider
    if isinstance(answer, ClassifierError) or asked.again or asked.spent.provider != provider:
        return None
    return KeptAnswer(
        provider=provider,
        model=answer.model,
        deployment=answer.deployment,
        label=answer.label,
        probabilities=dict(answer.probabilities),
        confidence_source=answer.confidence_source,
        image=picture.facts,
        is_billed=bool(asked.entries),
        cost_usd=asked.worth_usd,
    )


def _known(result_id: str, question: Question, domain: Domain) -> dict[str, Any]:
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


def _spent(asked: Asked, stopwatch: Stopwatch) -> dict[str, Any]:
    spent = asked.spent
    capabilities = spent.capabilities
    return {
        "provider": spent.provider,
        "model": capabilities.model if capabilities else None,
        "deployment": capabilities.deployment if capabilities else None,
        "cached": asked.again and not isinstance(asked.outcome, ClassifierError),
        "degraded": spent.degraded,
        "usage": Usage(
            prompt_tokens=spent.usage.prompt,
            completion_tokens=spent.usage.completion,
            cost_usd=spent.usage.cost_usd,
        ),
        "timings_ms": stopwatch.timings(),
        "completed_at": datetime.now(UTC),
    }


def _image(picture: Picture, outcome: ProviderAnswer | ClassifierError) -> ImageFacts:
    told = {"warnings": [*picture.facts.warnings, *(each.text for each in picture.findings)]}
    if isinstance(outcome, ClassifierError):
        return picture.facts.model_copy(update=told)
    counted = {
        "tokens": outcome.image_tokens,
        "tokens_estimated": outcome.image_tokens_estimated,
    }
    return picture.facts.model_copy(update=told | counted)


def _told(
    picture: Picture, outcome: ProviderAnswer | ClassifierError, domain: Domain
) -> dict[str, Any]:
    if isinstance(outcome, ClassifierError):
        return {"status": "failed", "error": Failure.of(outcome)}
    judged = verdict(outcome, domain, good_picture=not picture.findings)
    return {
        "status": judged.status,
        "review_reasons": list(judged.reasons),
        "predicted_class": outcome.label,
        "confidence": round(judged.confidence, 6),
        "probabilities": {label: round(p, 6) for label, p in outcome.probabilities.items()},
        "confidence_source": outcome.confidence_source,
        "model": outcome.model,
        "deployment": outcome.deployment,
        "provider_request_id": outcome.request_id,
    }
