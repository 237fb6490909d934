"""Azure OpenAI's answers, as they come over the wire."""

import hashlib
import json
import math
from typing import Any

from PIL import Image

from app.classification.orders import shuffled
from app.domains import Domain
from tests.pictures import encoded

SAFE = {
    name: {"filtered": False, "severity": "safe"}
    for name in ("hate", "self_harm", "sexual", "violence")
}


FLOWERS = Domain(name="flowers", classes=("dandelion", "rose", "sunflower", "daisy"))


def picture() -> bytes:
    """Red, 900 x 600, and one about which `A` is the first of four classes, `B` the second."""
    shades = (encoded(Image.new("RGB", (900, 600), (255, shade, 0))) for shade in range(256))
    return next(
        each
        for each in shades
        if shuffled(hashlib.sha256(each).hexdigest(), FLOWERS) == (0, 1, 2, 3)
    )


def headers(**more: str) -> dict[str, str]:
    return {
        "apim-request-id": "6f1e4a1c-0000-4000-8000-000000000001",
        "x-request-id": "6f1e4a1c-0000-4000-8000-000000000002",
        "x-ms-region": "East US 2",
        "x-ratelimit-remaining-requests": "4499",
        "x-ratelimit-remaining-tokens": "438897",
        **more,
    }


def completion(
    content: str | None,
    *,
    model: str = "gpt-4o-2024-11-20",
    logprobs: list[dict[str, Any]] | None = None,
    finish_reason: str = "stop",
    refusal: str | None = None,
    prompt_tokens: int = 214,
    completion_tokens: int = 5,
    reasoning_tokens: int = 0,
    content_filter_results: dict[str, Any] = SAFE,
) -> dict[str, Any]:
    return {
        "choices": [
            {
                "content_filter_results": content_filter_results,
                "finish_reason": finish_reason,
                "index": 0,
                "logprobs": None if logprobs is None else {"content": logprobs, "refusal": None},
                "message": {
                    "annotations": [],
                    "content": content,
                    "refusal": refusal,
                    "role": "assistant",
                },
            }
        ],
        "created": 1788254279,
        "id": "chatcmpl-EJEutqAFspAZFB7NOhd08tRyVah11",
        "model": model,
        "object": "chat.completion",
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": SAFE}],
        "system_fingerprint": "fp_51ebab882d",
        "usage": {
            "completion_tokens": completion_tokens,
            "completion_tokens_details": {"reasoning_tokens": reasoning_tokens},
            "prompt_tokens": prompt_tokens,
            "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 0},
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


def token(text: str, shares: dict[str, float] | None = None) -> dict[str, Any]:
    """One generated token; `shares` are the probabilities of what could have stood there."""
    tops = [_one(other, p) for other, p in (shares or {text: 1.0}).items()]
    return {**_one(text, (shares or {}).get(text, 1.0)), "top_logprobs": tops}


def labelled(code: str, shares: dict[str, float]) -> list[dict[str, Any]]:
    """The tokens of `{"label":"B"}` with a distribution over the codes."""
    return [token('{"'), token("label"), token('":"'), token(code, shares), token('"}')]


def unsupported(parameter: str) -> dict[str, Any]:
    return {
        "error": {
            "message": f"Unsupported parameter: '{parameter}' is not supported with this model.",
            "type": "invalid_request_error",
            "param": parameter,
            "code": "unsupported_parameter",
        }
    }


def _one(text: str, probability: float) -> dict[str, Any]:
    logprob = math.log(probability) if probability else -9999.0
    return {"bytes": list(text.encode()), "logprob": logprob, "token": text}


def sent(call: Any) -> dict[str, Any]:
    """The body of a request that was played."""
    body: dict[str, Any] = json.loads(call.request.content)
    return body
