"""Codes that stand for classes, and how the probability of each is read from a model's tokens.

A label is one or more tokens, and labels share prefixes. So a model chooses among short codes
instead, and the first token of its choice carries the whole distribution.
"""

import math
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

LEAST = 1e-6
"""The floor of a probability: what the model did not mention is improbable, not impossible."""


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token as bytes, and the possible tokens at its place with their logprobs."""

    text: bytes
    alternatives: Sequence[tuple[bytes, float]]


@dataclass(frozen=True, slots=True)
class Distribution:
    """
    Attributes:
        probabilities: of every code, summing to 1, none of them 0.
        coverage: the share of the model's probability that was on codes at all, 0 to 1.
        untold: the codes whose probabilities the model did not report.
        tail: the largest possible error of a probability, beyond `LEAST`, 0 to 1.
    """

    probabilities: dict[str, float]
    coverage: float
    untold: frozenset[str] = frozenset()
    tail: float = 0.0


def codes(count: int) -> tuple[str, ...]:
    """`count` codes of one token each (o200k), none a prefix of another: `A`, or `001`."""
    if count <= len(string.ascii_uppercase):
        return tuple(string.ascii_uppercase[:count])
    return tuple(f"{number:03d}" for number in range(1, count + 1))


def read_distribution(
    tokens: Sequence[Token], codes: Sequence[str], *, field: str
) -> Distribution | None:
    """The distribution over `codes` at the place where the JSON text holds the value of `field`.

    The place is found by bytes, since a token may hold quotes together with the value. None when
    the text has no such field or no code is among the alternatives there.

    A server reports only the most probable alternatives. Each code that is not reported has a
    probability between 0 and the smallest reported one, and all of these together have at most the
    rest, 1 - sum(reported): each is given an even share of it. Let `c` be the reported probability
    of codes and `u` all that unreported codes may have. Scaled to 1, an unreported code lies
    between 0 and u / (c + u), and one reported with `p` between p / (c + u) and p / c, which are u
    / (c + u) * p / c apart: so no code is off by more than

        tail = u / (c + u)

    which is the rest itself where everything reported is a code.
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
        # This tokenizer splits codes, and the first piece does not identify a code.
        return None
    told: dict[str, float] = {}
    undecided = 0.0
    for alternative, logprob in token.alternatives:
        meant = _meant(text[:position] + alternative, text[:start], codes)
        if len(meant) == 1:
            told[meant[0]] = told.get(meant[0], 0.0) + math.exp(logprob)
        elif meant:
            undecided += math.exp(logprob)
    coverage = sum(told.values())
    if coverage == 0:
        return None
    shown = [math.exp(logprob) for _, logprob in token.alternatives]
    untold = [code for code in codes if code not in told]
    each = min(min(shown), max(0.0, 1 - sum(shown)) / len(untold)) if untold else 0.0
    bounded = {code: max(told.get(code, each), LEAST) for code in codes}
    unknown = undecided + sum(bounded[code] for code in untold)
    total = sum(bounded.values())
    return Distribution(
        {code: p / total for code, p in bounded.items()},
        min(coverage, 1.0),
        frozenset(untold),
        unknown / (coverage + unknown),
    )


def _meant(text: bytes, before: bytes, codes: Sequence[str]) -> Sequence[str]:
    """The codes that an answer starting with `text` may still name; `before` is the text in front
    of the code."""
    if not text.startswith(before) or text == before:
        return codes if before.startswith(text) else ()
    value, closed, _ = text[len(before) :].partition(b'"')
    return [code for code in codes if _may_become(value, code.encode(), closed=bool(closed))]


def _may_become(value: bytes, code: bytes, *, closed: bool) -> bool:
    return value == code if closed else code.startswith(value)
