"""The codes that stand for classes, and how the probability of each is read off a model's tokens.

A label is one to many tokens and labels share beginnings, so a model chooses among short codes
instead: then the first token of its choice carries the whole distribution.
"""

import math
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

LEAST = 1e-6
"""What the model did not mention is improbable, not impossible."""


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token as bytes, and those that could have stood there with their logprobs."""

    text: bytes
    alternatives: Sequence[tuple[bytes, float]]


@dataclass(frozen=True, slots=True)
class Distribution:
    """
    Attributes:
        probabilities: of every code, summing to 1, none of them 0.
        coverage: the share of the model's probability that was on codes at all, 0 to 1.
    """

    probabilities: dict[str, float]
    coverage: float


def codes(count: int) -> tuple[str, ...]:
    """`count` codes of one token each (o200k), none the beginning of another: `A`, or `001`."""
    if count <= len(string.ascii_uppercase):
        return tuple(string.ascii_uppercase[:count])
    return tuple(f"{number:03d}" for number in range(1, count + 1))


def read_distribution(
    tokens: Sequence[Token], codes: Sequence[str], *, field: str
) -> Distribution | None:
    """The distribution over `codes` at the place where the JSON text holds the value of `field`.

    The place is found by bytes, since tokens may hold quotes together with the value. None when
    the text has no such field or no code is among the alternatives there.
    """
    text = b"".join(token.text for token in tokens)
    opening = re.search(rb'"%s"\s*:\s*"' % re.escape(field.encode()), text)
    if opening is None:
        return None
    start, position = opening.end(), 0
    for token in tokens:
        if position + len(token.text) > start:
            return _distribution(text, start, position, token, codes)
        position += len(token.text)
    return None


def _distribution(
    text: bytes, start: int, position: int, token: Token, codes: Sequence[str]
) -> Distribution | None:
    chosen = (text[:position] + token.text)[start:].partition(b'"')
    if sum(_may_become(chosen[0], c.encode(), closed=bool(chosen[1])) for c in codes) > 1:
        # This tokenizer cuts codes into pieces: the first piece tells too little.
        return None
    mass = dict.fromkeys(codes, 0.0)
    for alternative, logprob in token.alternatives:
        continued = text[:position] + alternative
        if continued[:start] == text[:start] and continued[start:]:
            value, closed, _ = continued[start:].partition(b'"')
            meant = [c for c in codes if _may_become(value, c.encode(), closed=bool(closed))]
            if len(meant) == 1:
                mass[meant[0]] += math.exp(logprob)
    coverage = sum(mass.values())
    if coverage == 0:
        return None
    shown = [math.exp(logprob) for _, logprob in token.alternatives]
    missing = [code for code, p in mass.items() if p == 0]
    # A code that is not shown is less probable than any that is, and all of them share the rest.
    rest = max(0.0, 1 - sum(shown))
    tail = min(min(shown), rest / len(missing)) if missing else 0.0
    bounded = {code: max(p or tail, LEAST) for code, p in mass.items()}
    total = sum(bounded.values())
    return Distribution({code: p / total for code, p in bounded.items()}, min(coverage, 1.0))


def _may_become(value: bytes, code: bytes, *, closed: bool) -> bool:
    return value == code if closed else code.startswith(value)
