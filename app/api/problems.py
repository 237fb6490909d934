"""RFC 9457 problems: the one place where an error becomes HTTP."""

import asyncio
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app import errors
from app.api import security
from app.telemetry.trace import current

MEDIA_TYPE = "application/problem+json"
SCHEMA = {"$ref": "#/components/schemas/ProblemBody"}
"""Of a problem, in openapi.json."""


@dataclass(frozen=True, slots=True)
class Problem:
    status: int
    title: str


PROBLEMS: dict[type[errors.ClassifierError], Problem] = {
    errors.InvalidRequest: Problem(422, "The request is not valid"),
    errors.UnsupportedContentType: Problem(415, "The body has an unsupported type"),
    errors.UploadTooLarge: Problem(413, "The picture is too large"),
    errors.MetadataTooLarge: Problem(422, "The metadata is too large"),
    errors.NotAuthenticated: Problem(401, "An API key is needed"),
    errors.NotAllowed: Problem(403, "An operator's API key is needed"),
    errors.ResultNotFound: Problem(404, "No such result"),
    errors.NothingToReview: Problem(409, "There is nothing to review"),
    errors.ReviewTaken: Problem(409, "Another reviewer is looking at it"),
    errors.ReviewDecided: Problem(409, "The review is already decided"),
    errors.PictureNotKept: Problem(404, "The picture is not stored"),
    errors.BatchNotFound: Problem(404, "No such batch"),
    errors.ArchiveRefused: Problem(422, "The archive is refused"),
    errors.BatchTooLarge: Problem(413, "The batch is too large"),
    errors.BlobNotFound: Problem(410, "The picture is gone"),
    errors.BatchOver: Problem(409, "The batch's status does not allow this"),
    errors.AlertNotFound: Problem(404, "No such alert"),
    errors.EvaluationNotFound: Problem(404, "No such evaluation"),
    errors.NothingLabelled: Problem(409, "No answer has a label"),
    errors.WebhookNotFound: Problem(404, "No such webhook"),
    errors.TooManyWebhooks: Problem(409, "There are too many webhooks"),
    errors.WebhookDisabled: Problem(409, "The webhook is disabled"),
    errors.DeliveryNotFound: Problem(404, "No such delivery"),
    errors.EventForgotten: Problem(410, "The event is gone"),
    errors.BudgetNotFound: Problem(404, "No such budget"),
    errors.BudgetReadOnly: Problem(409, "The budget is read-only here"),
    errors.IdempotencyKeyReused: Problem(422, "The Idempotency-Key belongs to another request"),
    errors.IdempotencyKeyInUse: Problem(409, "The first request with this key is not answered yet"),
    errors.DomainNotFound: Problem(404, "No such domain"),
    errors.DomainExists: Problem(409, "The domain already exists"),
    errors.DomainReadOnly: Problem(409, "The domain is read-only here"),
    errors.LabelNotInDomain: Problem(422, "The label is not one of the domain's classes"),
    errors.ExampleNotFound: Problem(404, "No such example"),
    errors.TooFewExamples: Problem(409, "Too few examples"),
    errors.LessonNotFound: Problem(404, "No such lesson"),
    errors.CalibrationNotFound: Problem(404, "No such calibration"),
    errors.TooFewLabels: Problem(409, "Too few labels"),
    errors.CalibrationRefused: Problem(409, "The calibration would make confidence worse"),
    errors.ImageUnreadable: Problem(422, "The picture can't be read"),
    errors.ImageTooLarge: Problem(422, "The picture has too many pixels"),
    errors.ImageHarmful: Problem(422, "The picture crashes the service"),
    errors.ImageRejected: Problem(422, "The picture is not good enough"),
    errors.UrlRefused: Problem(422, "The URL is refused"),
    errors.UrlUnreachable: Problem(422, "The URL can't be fetched"),
    errors.UrlTooLarge: Problem(422, "The file at the URL is too large"),
    errors.ProviderUnknown: Problem(422, "No such provider"),
    errors.ProviderCannotServeDomain: Problem(422, "The provider can't serve this domain"),
    errors.ProviderError: Problem(502, "The provider failed"),
    errors.ProviderUnavailable: Problem(502, "The provider does not answer"),
    errors.ProviderTimeout: Problem(504, "The provider does not answer in time"),
    errors.ProviderPaused: Problem(503, "Calls to the provider are paused"),
    errors.ProviderRateLimited: Problem(503, "The provider's quota is spent"),
    errors.ProviderAnswerInvalid: Problem(502, "The provider's answer is invalid"),
    errors.ProviderAdjusting: Problem(502, "The provider needs other parameters"),
    errors.ContentFiltered: Problem(422, "The provider's content filter refused this picture"),
    errors.ProviderRefused: Problem(422, "The model declined to answer"),
    errors.ProviderRejected: Problem(502, "The provider rejected the call"),
    errors.ProviderDenied: Problem(502, "The provider denies access"),
    errors.BudgetSpent: Problem(429, "A budget is spent"),
    errors.PriceUnknown: Problem(503, "The price of the call is unknown"),
    errors.Overloaded: Problem(503, "Too much work is waiting"),
    errors.Interrupted: Problem(503, "The service is shutting down"),
    errors.StorageUnavailable: Problem(503, "The storage does not answer"),
    errors.SecretUnreadable: Problem(500, "The secrets of webhooks can't be read"),
    errors.ConfigurationRefused: Problem(422, "The configuration file is wrong"),
    errors.DatabaseInUse: Problem(500, "The database is in use by another process"),
    errors.ConfigurationError: Problem(500, "The service is misconfigured"),
    errors.InternalError: Problem(500, "Internal error"),
}

BODY_TOO_LARGE = "The body is larger than the service takes."

RETRY_AFTER_S = 5
"""Seconds, sent with every 503, and while a key is in use, unless the error names its own time."""


def problem_response(
    error: errors.ClassifierError, instance: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    # A plug-in's own subclass is reported as the nearest kind that is documented.
    kind = next(each for each in type(error).__mro__ if each in PROBLEMS)
    problem = PROBLEMS[kind]
    current().tell(error=kind.slug())
    body: dict[str, Any] = {
        "type": kind.type(),
        "title": problem.title,
        "status": problem.status,
        "detail": str(error),
        "instance": instance,
    }
    if isinstance(error, errors.InvalidRequest) and error.fields:
        body["errors"] = error.fields
    if isinstance(error, errors.BudgetSpent):
        resets_at = error.resets_at
        body |= {
            "budget": error.budget,
            "resets_at": resets_at and resets_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    if isinstance(error, errors.ContentFiltered):
        body["categories"] = list(error.categories)
    if error.result_id:
        body["result_id"] = error.result_id
    return JSONResponse(
        body, problem.status, {**_headers(error, problem), **(headers or {})}, MEDIA_TYPE
    )


def install(app: FastAPI) -> None:
    """Turn errors of routes and of the framework into problems; `context` does so for unexpected
    ones."""

    async def of_request(request: Request, error: errors.ClassifierError) -> JSONResponse:
        """The framework reads a body before it checks the key, so a refused key goes first here."""
        try:
            await security.admit(request)
        except (errors.NotAuthenticated, errors.NotAllowed) as refusal:
            return problem_response(refusal, request.url.path)
        return problem_response(error, request.url.path)

    async def of_domain(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, errors.ClassifierError)  # noqa: S101
        return problem_response(error, request.url.path)

    async def of_validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        return await of_request(request, errors.InvalidRequest.of(error.errors()))

    async def of_http(request: Request, error: Exception) -> JSONResponse:
        """404 for unknown paths, 405, and whatever else the framework itself refuses."""
        assert isinstance(error, HTTPException)  # noqa: S101
        if error.status_code == 413:
            return problem_response(errors.UploadTooLarge(BODY_TOO_LARGE), request.url.path)
        if error.status_code == 400:
            return await of_request(request, errors.InvalidRequest("The body can't be read."))
        headers = dict(error.headers or {})
        if error.status_code == 405 and (methods := await _methods(request)):
            headers["Allow"] = ", ".join(methods)
        body = {
            "type": "about:blank",
            "title": error.detail,
            "status": error.status_code,
            "detail": error.detail,
            "instance": request.url.path,
        }
        return JSONResponse(body, error.status_code, headers, MEDIA_TYPE)

    app.add_exception_handler(errors.ClassifierError, of_domain)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(HTTPException, of_http)


async def _methods(request: Request) -> list[str]:
    """The methods of the whole path: the framework knows only those of its first route."""
    described = await asyncio.to_thread(request.app.openapi)
    return [each.upper() for each in described["paths"].get(request.scope["route"].path, ())]


def _headers(error: errors.ClassifierError, problem: Problem) -> dict[str, str]:
    if problem.status == 401:
        return {"WWW-Authenticate": "Bearer"}
    if problem.status == 429:
        resets_at = error.resets_at if isinstance(error, errors.BudgetSpent) else None
        return {} if resets_at is None else {"Retry-After": str(_seconds_until(resets_at))}
    if problem.status == 503 or isinstance(error, errors.IdempotencyKeyInUse):
        named = getattr(error, "retry_after_s", None)
        return {"Retry-After": str(max(1, math.ceil(RETRY_AFTER_S if named is None else named)))}
    return {}


def _seconds_until(moment: datetime) -> int:
    return max(1, math.ceil((moment - datetime.now(UTC)).total_seconds()))
