"""Turns the problem responses of a server back into the exceptions that they were made of."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx2

from app import errors
from app.retry_after import retry_after_s


class ServiceUnreachable(errors.ClassifierError):
    """The server could not be reached, or the connection broke."""


class UnexpectedAnswer(errors.ClassifierError):
    """The response is not from such a service, or from a much newer version."""


def _below(kind: type[errors.ClassifierError]) -> Iterator[type[errors.ClassifierError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


KINDS = {
    each.slug(): each for each in _below(errors.ClassifierError) if each.__module__ == "app.errors"
}


def error_of(response: httpx2.Response) -> errors.ClassifierError:
    """The exception for an unsuccessful response, whose body has been read."""
    try:
        told = json.loads(response.content)
        slug, detail = str(told["type"]).removeprefix(errors.PROBLEMS), str(told["detail"])
    except (ValueError, TypeError, KeyError):
        return UnexpectedAnswer(
            f"{response.request.method} {response.request.url.path} was answered with "
            f"{response.status_code}, and not as the service answers."
        )
    kind = KINDS.get(slug, UnexpectedAnswer)
    error = kind(detail)
    _complete(error, told, asked_wait_s(response))
    return error


def _complete(error: errors.ClassifierError, told: dict[str, Any], wait_s: float | None) -> None:
    """Sets the attributes of the error besides its message."""
    error.result_id = told.get("result_id")
    if isinstance(error, errors.InvalidRequest):
        error.fields = told.get("errors") or []
    if isinstance(error, errors.ContentFiltered):
        error.categories = tuple(told.get("categories") or ())
    if isinstance(error, errors.BudgetSpent):
        error.budget = str(told.get("budget") or "")
        with suppress(ValueError, TypeError):  # null for a budget that never resets
            error.resets_at = datetime.fromisoformat(told["resets_at"])
    if isinstance(error, (errors.ProviderError, errors.Overloaded)):
        error.retry_after_s = wait_s


def asked_wait_s(response: httpx2.Response) -> float | None:
    """Seconds; None where the response names no time."""
    return retry_after_s(response.headers.get("retry-after"), datetime.now(UTC))
