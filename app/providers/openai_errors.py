"""The one place where the OpenAI SDK's exceptions are translated into this service's own."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import httpx2
import openai

from app.errors import (
    ProviderDenied,
    ProviderError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from app.providers.chat_answer import content_filtered
from app.retry_after import retry_after_s
from app.usage import QuotaReport

NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)

BILLED_STATUSES = (408, 504)
"""Calls that end with these, like those that a content filter refuses, are billed if the provider
had begun to work; other errors are not. Source: "HTTP Error response code and billing status" in
Azure's "Plan to manage costs for Azure OpenAI"."""


def provider_error(error: Exception) -> ProviderError:
    """The error to raise instead. The provider's own message may repeat the prompt, so it is
    omitted."""
    match error:
        case openai.APITimeoutError():
            failure: ProviderError = ProviderTimeout("The provider did not answer in time.")
        case openai.APIConnectionError():
            failure = ProviderUnavailable("The provider could not be reached.")
        case openai.APIStatusError():
            return _of_status(error)
        case _:
            failure = ProviderUnavailable("The call to the provider failed.")
    failure.may_be_billed = not isinstance(error.__cause__, NEVER_SENT)
    return failure


def _of_status(error: openai.APIStatusError) -> ProviderError:
    failure = _failure(error)
    failure.quota = quota_report(error.response.headers, error.message)
    failure.may_be_billed = error.status_code in BILLED_STATUSES or error.code == "content_filter"
    return failure


def _failure(error: openai.APIStatusError) -> ProviderError:
    status = error.status_code
    code = f" ({error.code})" if error.code else ""
    if status == 429:
        return ProviderRateLimited(
            "The provider's quota is spent.", retry_after_s=asked_wait_s(error.response.headers)
        )
    if error.code == "content_filter":
        return content_filtered("refuses this picture", _filter_results(error.body))
    if status == 408:
        return ProviderTimeout("The provider gave up on the call.")
    if status == 409 or status >= 500:
        return ProviderUnavailable(f"The provider answered with status {status}{code}.")
    if status in (401, 403):
        return ProviderDenied(f"The provider refuses the credentials: status {status}{code}.")
    if status == 404:
        return ProviderDenied(f"The provider knows no such deployment: status {status}{code}.")
    return ProviderRejected(f"The provider does not accept the call: status {status}{code}.")


def asked_wait_s(headers: Mapping[str, str]) -> float | None:
    """The wait in seconds, from the first of `retry-after-ms`, `x-ms-retry-after-ms` and
    `retry-after` that is present and valid."""
    for name, unit in (("retry-after-ms", 0.001), ("x-ms-retry-after-ms", 0.001)):
        if (seconds := _number(headers.get(name), unit)) is not None:
            return seconds
    given = headers.get("retry-after")
    seconds = _number(given, 1.0)
    if seconds is not None:
        return seconds
    # A date has whole seconds, and clocks differ: one that has just passed says nothing.
    return retry_after_s(given, datetime.now(UTC)) or None


def quota_report(headers: Mapping[str, str], refusal: str = "") -> QuotaReport:
    """What an answer's headers report of the quota; `refusal` is the message of a 429."""
    told = {
        f"{what}_{dimension}": _signed(headers.get(f"x-ratelimit-{what}-{dimension}"))
        for what in ("limit", "remaining")
        for dimension in ("requests", "tokens")
    }
    return QuotaReport(**told, lacking=_lacking(refusal))


def _lacking(refusal: str) -> Literal["requests", "tokens", "capacity"] | None:
    """Recognised by its wording, which varies: Azure gives no code for it."""
    text = refusal.lower()
    if "token rate limit" in text:
        return "tokens"
    if "call rate limit" in text:
        return "requests"
    if "temporarily unable" in text or "high demand" in text:
        return "capacity"
    return None


def _signed(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _number(text: str | None, unit: float) -> float | None:
    value = _signed(text)
    return value * unit if value is not None and value >= 0 else None


def _filter_results(body: Any) -> Any:
    """Azure spells it four ways: `inner_error` or `innererror`, results in singular or plural."""
    if not isinstance(body, dict):
        return None
    inner = body.get("innererror") or body.get("inner_error") or body
    if not isinstance(inner, dict):
        return None
    return inner.get("content_filter_results") or inner.get("content_filter_result")
