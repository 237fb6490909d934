"""The body of an answer: choices with their tokens and logprobs, usage, filter results."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, get_args

from app.simulator.asked import Field
from app.simulator.errors import SAFE, VIOLENT

IMPOSSIBLE = -9999.0
"""The logprob of an impossible token."""
REFUSAL = "I'm sorry, I can't help with that."
FREE_TEXT = "as it looks"
_UNDETECTED = {"detected": False, "filtered": False}
# In alphabetical order, as all keys are sent.
_SAFE_PROMPT = dict(sorted({**SAFE, "jailbreak": _UNDETECTED}.items()))
_SAFE_ANSWER = dict(
    sorted(
        {
            **SAFE,
            "protected_material_code": _UNDETECTED,
            "protected_material_text": _UNDETECTED,
        }.items()
    )
)
Style = Literal["plain", "split", "open", "closed"]
STYLES: tuple[Style, ...] = get_args(Style)

_ids = Random()  # noqa: S311 - they only have to differ
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class Token:
    """One token, and the possible tokens at its place, most probable first."""

    text: str
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """One answer.

    Attributes:
        chosen: one of the offered answers; None where nothing was offered.
        shares: the probability of each offered answer.
    """

    chosen: str | None
    shares: Mapping[str, float]

    @property
    def sure(self) -> float:
        return self.shares[self.chosen] if self.chosen is not None else 0.5


def written(said: Said, form: Sequence[Field] | None, style: Style) -> list[Token]:
    """The tokens of an answer of this form, with quotes tokenised in this style."""
    if form is None:
        return [_choice(said)]
    return list(_merged(list(_pieces(said, form)), style))


def refused() -> list[Token]:
    words = REFUSAL.split(" ")
    return [Token(word if place == 0 else f" {word}") for place, word in enumerate(words)]


def choice(
    index: int,
    tokens: Sequence[Token],
    *,
    finish_reason: str = "stop",
    top_logprobs: int | None = None,
    refusal: bool = False,
) -> dict[str, Any]:
    """`top_logprobs` None: no logprobs."""
    text = "".join(token.text for token in tokens)
    logprobs = None
    if top_logprobs is not None:
        listed = [_token(each, top_logprobs) for each in tokens]
        logprobs = {
            "content": None if refusal else listed,
            "refusal": listed if refusal else None,
        }
    return {
        "content_filter_results": VIOLENT if finish_reason == "content_filter" else _SAFE_ANSWER,
        "finish_reason": finish_reason,
        "index": index,
        "logprobs": logprobs,
        "message": {
            "annotations": [],
            "content": None if refusal else text,
            "refusal": text if refusal else None,
            "role": "assistant",
        },
    }


def completion(
    choices: Sequence[dict[str, Any]], model: str, usage: dict[str, Any]
) -> dict[str, Any]:
    return {
        "choices": list(choices),
        "created": int(time.time()),
        "id": f"chatcmpl-{''.join(_ids.choices(_LETTERS, k=29))}",
        "model": model,
        "object": "chat.completion",
        "prompt_filter_results": [{"content_filter_results": _SAFE_PROMPT, "prompt_index": 0}],
        "service_tier": "default",
        "system_fingerprint": "fp_51ebab882d",
        "usage": usage,
    }


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call.

    Attributes:
        image: the part of `prompt` that pictures took.
        reasoning: the part of `completion` spent on reasoning.
    """

    prompt: int
    image: int
    completion: int
    reasoning: int

    def told(self, *, image: bool) -> dict[str, Any]:
        """In the format of an answer; `image`: report what pictures took."""
        details = {"audio_tokens": 0, "cached_tokens": 0}
        if image:
            details |= {"image_tokens": self.image, "text_tokens": self.prompt - self.image}
        return {
            "completion_tokens": self.completion,
            "completion_tokens_details": {
                "accepted_prediction_tokens": 0,
                "audio_tokens": 0,
                "reasoning_tokens": self.reasoning,
                "rejected_prediction_tokens": 0,
            },
            "prompt_tokens": self.prompt,
            "prompt_tokens_details": details,
            "total_tokens": self.prompt + self.completion,
        }


@dataclass(frozen=True, slots=True)
class _Piece:
    """A word, or one of JSON's punctuation characters."""

    token: Token
    sign: bool = False


def _pieces(said: Said, form: Sequence[Field]) -> Iterator[_Piece]:
    answered = False
    yield _sign("{")
    for place, field in enumerate(form):
        if place:
            yield _sign(",")
        yield from (_sign('"'), _word(field.name), _sign('"'), _sign(":"))
        if field.options and not answered:
            answered = True
            yield from (_sign('"'), _Piece(_choice(said)), _sign('"'))
        elif field.options or field.kind == "string":
            text = field.options[0] if field.options else FREE_TEXT
            yield from (_sign('"'), _word(text), _sign('"'))
        else:
            yield _word(json.dumps(_filled(field.kind, said)))
    yield _sign("}")


def _filled(kind: str, said: Said) -> Any:
    """A value for a property without options: numbers state how sure the answer is."""
    values = {
        "integer": round(100 * said.sure),
        "number": round(said.sure, 2),
        "boolean": True,
        "array": [],
        "object": {},
    }
    return values.get(kind)


def _merged(pieces: Sequence[_Piece], style: Style) -> Iterator[Token]:
    signs = ""
    skip = False
    for place, piece in enumerate(pieces):
        if skip:
            skip = False
        elif piece.sign:
            if style == "split":
                yield piece.token
            else:
                signs += piece.token.text
        else:
            before = after = ""
            chosen = bool(piece.token.alternatives)
            if chosen and style == "open":
                signs, before = signs[:-1], signs[-1:]
            elif chosen and style == "closed":
                after, skip = pieces[place + 1].token.text, True
            if signs:
                yield Token(signs)
            signs = ""
            yield _wrapped(piece.token, before, after)
    if signs:
        yield Token(signs)


def _wrapped(token: Token, before: str, after: str) -> Token:
    alternatives = tuple((f"{before}{text}{after}", p) for text, p in token.alternatives)
    return Token(f"{before}{token.text}{after}", alternatives)


def _choice(said: Said) -> Token:
    if said.chosen is None:
        return Token(FREE_TEXT)
    by_share = sorted(said.shares.items(), key=lambda each: -each[1])
    return Token(said.chosen, tuple(by_share))


def _sign(text: str) -> _Piece:
    return _Piece(Token(text), sign=True)


def _word(text: str) -> _Piece:
    return _Piece(Token(text))


def _token(token: Token, top: int) -> dict[str, Any]:
    alternatives = token.alternatives or ((token.text, 1.0),)
    own = next((p for text, p in alternatives if text == token.text), 0.0)
    tops = [_logprob(text, p) for text, p in alternatives[:top]]
    return {**_logprob(token.text, own), "top_logprobs": tops}


def _logprob(text: str, probability: float) -> dict[str, Any]:
    logprob = math.log(probability) if probability > 0 else IMPOSSIBLE
    return {"bytes": list(text.encode()), "logprob": logprob, "token": text}
