"""The row of a classification: pending, answered or failed."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from app.calibration import Calibration, Calibrations, key_of
from app.classification.asking import Asked
from app.classification.intake import Picture
from app.classification.question import Question
from app.classification.stopwatch import Stopwatch
from app.classification.verdict import Verdict, confidence, verdict
from app.domains import Domain
from app.errors import ClassifierError, InternalError
from app.providers.base import ProviderAnswer
from app.result import MODEL, Failure, ImageFacts, Result, Usage
from app.storage import KeptAnswer


def pending(result_id: str, question: Question, domain: Domain) -> Result:
    """The row of an accepted picture, of which only the question is known."""
    return Result(**_known(result_id, question, domain), status="pending")


def failed(
    result_id: str,
    question: Question,
    domain: Domain,
    error: ClassifierError,
    asked: Asked | None,
    stopwatch: Stopwatch,
) -> Result:
    """The failed row, with what asking cost, because that was paid; `asked` None: it did not come
    to that."""
    spent = {} if asked is None else _spent(asked, stopwatch)
    known = _known(result_id, question, domain) | spent
    return ended(Result(**known, status="pending"), error)


def ended(pending: Result, error: ClassifierError) -> Result:
    """The failed row of a pending result that nobody will answer any more."""
    changed = {"status": "failed", "error": Failure.of(error), "completed_at": datetime.now(UTC)}
    return pending.model_copy(update=changed)


def completed(
    result_id: str,
    question: Question,
    domain: Domain,
    picture: Picture,
    asked: Asked,
    stopwatch: Stopwatch,
    calibrations: Calibrations,
) -> Result:
    """The row of what the providers answered, an error included."""
    return Result(
        **_known(result_id, question, domain)
        | _spent(asked, stopwatch)
        | {"image": _image(picture, asked.outcome)}
        | _told(picture, asked, domain, calibrations)
    )


def to_keep(picture: Picture, asked: Asked) -> KeptAnswer | None:
    """The answer to keep for later requests: only one that is new, from a provider that the picture
    has a key for, and that rests on as many calls as the domain asks for and on what had been
    learned when the picture came."""
    answer, provider = asked.outcome, asked.spent.provider
    if isinstance(answer, ClassifierError) or asked.again:
        return None
    if provider is None or provider not in picture.keys:
        return None
    if asked.spent.incomplete or answer.learned != picture.learned[provider]:
        return None
    return KeptAnswer(
        provider=provider,
        model=answer.model,
        deployment=answer.deployment,
        label=answer.label,
        probabilities=dict(answer.probabilities),
        confidence_source=answer.confidence_source,
        image=picture.facts,
        tail=answer.tail,
        out_of_domain=answer.out_of_domain,
        revision=answer.revision,
        contradicted=asked.spent.contradicted,
        is_billed=asked.worth_usd is not None,
        cost_usd=asked.worth_usd,
    )


def _known(result_id: str, question: Question, domain: Domain) -> dict[str, Any]:
    """What is known before there is an answer."""
    return {
        "id": result_id,
        "domain": domain.name,
        "domain_version": domain.version,
        "expected": question.expected,
        "expected_source": "request" if question.expected is not None else None,
        "metadata": question.metadata,
        "caller": question.caller,
        "created_at": question.asked_at,
    }


def unstorable(result: Result) -> Result:
    """The result without its answer, which no database accepts."""
    answer = (
        *("predicted_class", "confidence", "probabilities", "confidence_source", "tail"),
        *("raw_confidence", "raw_probabilities", "calibration", "revision"),
        *("model", "deployment", "image", "final_class", "decided_by", "provider_request_id"),
    )
    error = Failure.of(InternalError("The answer can't be stored."))
    left = {"review_reasons": [], "status": "failed", "error": error}
    return result.model_copy(update=dict.fromkeys(answer) | left)


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
    picture: Picture, asked: Asked, domain: Domain, calibrations: Calibrations
) -> dict[str, Any]:
    outcome = asked.outcome
    if isinstance(outcome, ClassifierError):
        return {"status": "failed", "error": Failure.of(outcome)}
    calibration = calibrations.of(key_of(outcome, asked.spent.provider or "", domain))
    answer = outcome if calibration is None else calibration.of_answer(outcome)
    judged = verdict(
        answer,
        domain,
        good_picture=not picture.findings,
        degraded=asked.spent.degraded and calibration is None,
        contradicted=_is_contradicted(asked, domain),
    )
    return {
        "status": judged.status,
        **_decided(judged, answer),
        "review_reasons": list(judged.reasons),
        "predicted_class": answer.label,
        "confidence": round(judged.confidence, 6),
        "probabilities": _rounded(answer.probabilities),
        "confidence_source": answer.confidence_source,
        "model": answer.model,
        "deployment": answer.deployment,
        "provider_request_id": answer.request_id,
        "tail": round(answer.tail, 6) or None,
        "revision": answer.revision,
        **({} if calibration is None else _raw(outcome, calibration)),
    }


def _is_contradicted(asked: Asked, domain: Domain) -> bool:
    """Whether providers disagree, in a domain that asks for a second opinion."""
    wanted = domain.cascade is not None and domain.cascade.second_opinion
    return wanted and asked.spent.contradicted


def _decided(judged: Verdict, answer: ProviderAnswer) -> dict[str, Any]:
    """An accepted answer stands until a person says otherwise."""
    if judged.status != "accepted":
        return {}
    return {"final_class": answer.label, "decided_by": MODEL}


def _raw(answer: ProviderAnswer, calibration: Calibration) -> dict[str, Any]:
    return {
        "calibration": calibration.id,
        "raw_confidence": round(confidence(answer), 6),
        "raw_probabilities": _rounded(answer.probabilities),
    }


def _rounded(probabilities: Mapping[str, float]) -> dict[str, float]:
    return {label: round(p, 6) for label, p in probabilities.items()}
