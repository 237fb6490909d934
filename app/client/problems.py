"""What goes wrong with a server: its problems become the exceptions that they were made of."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx2

from app import errors
from app.retry_after import retry_after_s


class ServiceUnreachable(errors.ClassifierError):
    """No connection to the server, or one that broke."""


class UnexpectedAnswer(errors.ClassifierError):
    """What answered is no such service, or a much newer one."""


def _below(kind: type[errors.ClassifierError]) -> Iterator[type[errors.ClassifierError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


KINDS = {
    each.slug(): each for each in _below(errors.ClassifierError) if each.__module__ == "app.errors"
}


def error_of(response: httpx2.Response) -> errors.ClassifierError:
    """From a response that is no success, read before."""
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
    """What is told beside the message."""
    error.result_id = told.get("result_id")
    if isinstance(error, errors.InvalidRequest):
        error.fields = told.get("errors") or []
    if isinstance(error, errors.ContentFiltered):
        error.categories = tuple(told.get("categories") or ())
    if isinstance(error, errors.BudgetSpent):
        error.budget = str(told.get("budget") or "")
        with suppress(ValueError, TypeError):  # null, where it never is
            error.resets_at = datetime.fromisoformat(told["resets_at"])
    if isinstance(error, (errors.ProviderError, errors.Overloaded)):
        error.retry_after_s = wait_s


def asked_wait_s(response: httpx2.Response) -> float | None:
    """None where no time is told."""
    return retry_after_s(response.headers.get("retry-after"), datetime.now(UTC))
