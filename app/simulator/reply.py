"""What is sent back over the wire: bytes, headers, and how they are sent."""

import math
import uuid
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Literal, Self

import pydantic_core

from app.simulator.admission import Decision, Quota

JSON = "application/json; charset=utf-8"
HTML = "text/html"
REGION = "East US 2"
ABSURD_RETRY_S = 86_400

Manner = Literal["whole", "slow", "reset", "silent"]
Dialect = Literal["v1", "dated"]

_names = Random()  # noqa: S311 - they only have to differ


@dataclass(frozen=True, slots=True)
class Reply:
    """
    Attributes:
        manner: `whole` at once, `slow` over `seconds`, `reset` instead of an answer, or `silent`
            for `seconds` before it.
    """

    status: int
    body: bytes
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    manner: Manner = "whole"
    seconds: float = 0

    @classmethod
    def json(cls, status: int, content: dict[str, Any]) -> Self:
        return cls(status, pydantic_core.to_json(content))

    def lasting(self, manner: Manner, seconds: float) -> Self:
        return replace(self, manner=manner, seconds=seconds)

    def having(self, headers: dict[str, str]) -> Self:
        """A copy with additional headers."""
        return replace(self, headers={**self.headers, **headers})


def call_headers(client_request_id: str | None) -> dict[str, str]:
    """Headers of every answer."""
    return {
        "apim-request-id": _new_id(),
        "strict-transport-security": "max-age=31536000; includeSubDomains; preload",
        "x-content-type-options": "nosniff",
        "x-ms-client-request-id": client_request_id or "Not-Set",
        "x-ms-region": REGION,
        "x-request-id": _new_id(),
    }


def deployment_headers(name: str, took_s: float) -> dict[str, str]:
    """Additional headers of a model's answer."""
    return {
        "api-supported-versions": "1",
        "x-envoy-upstream-service-time": str(round(took_s * 1000)),
        "x-ms-deployment-name": name,
        "x-ms-rai-invoked": "true",
    }


def quota_headers(
    quota: Quota, decision: Decision, manner: Literal["exact", "missing", "absurd"]
) -> dict[str, str]:
    """Headers with what is left of the quota, and how long to wait when it refused."""
    if manner == "missing":
        return {}
    refused = decision.refused_by is not None
    if manner == "absurd":
        headers = {
            "x-ratelimit-limit-requests": str(quota.rpm),
            "x-ratelimit-limit-tokens": str(quota.tpm),
            "x-ratelimit-remaining-requests": "-1",
            "x-ratelimit-remaining-tokens": "-1",
        }
        return headers | ({"retry-after": str(ABSURD_RETRY_S)} if refused else {})
    headers = {
        "x-ratelimit-limit-requests": str(quota.rpm),
        "x-ratelimit-limit-tokens": str(quota.tpm),
        "x-ratelimit-remaining-requests": str(decision.remaining_requests),
        "x-ratelimit-remaining-tokens": str(decision.remaining_tokens),
    }
    if refused:
        headers["retry-after"] = str(math.ceil(decision.retry_after_s))
        headers["retry-after-ms"] = str(math.ceil(decision.retry_after_s * 1000))
    return headers


def _new_id() -> str:
    return str(uuid.UUID(int=_names.getrandbits(128), version=4))
