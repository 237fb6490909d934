"""The order in which the classes are offered, chosen so that no class profits from its position."""

from random import Random

from app.domains import Domain
from app.providers.chat_quote import quote
from app.providers.question import ChatQuestion
from app.remembered import Remembered

Order = tuple[int, ...]
"""Positions of the classes, "none of these" included where it is allowed."""

CACHED_FROM = 1_024
"""Tokens. Prompts that share at least this long a beginning are cheaper after the first. Source:
Azure OpenAI's "Prompt caching"."""

FIXED = 8
"""How many orders a domain has whose prompt is that long; half of them are the others' reverse."""

MAX_KEPT = 1_000
"""How many domains' prompt lengths are remembered."""


class Orders:
    """The same picture is asked about in the same order every time."""

    def __init__(self) -> None:
        self._are_long = Remembered[tuple[str, str], bool](MAX_KEPT)

    def of(self, sha256: str, domain: Domain, call: int = 0) -> Order:
        """The order for this call about this picture: its own, or one of a few where the prompt is
        long enough to be cached."""
        is_long = self._are_long.of((domain.name, domain.version), lambda: _is_long(domain))
        return (fixed if is_long else shuffled)(sha256, domain, call)


def _is_long(domain: Domain) -> bool:
    asked = quote(ChatQuestion(domain, stated=False), thinks=False)
    return asked.text_tokens >= CACHED_FROM


def shuffled(sha256: str, domain: Domain, call: int = 0) -> Order:
    """One of all possible orders."""
    return _drawn(f"{sha256} {call}", domain)


def fixed(sha256: str, domain: Domain, call: int = 0) -> Order:
    """One of the few that all pictures of the domain share; successive calls go through them."""
    number = (int(sha256, 16) + call) % FIXED
    order = _drawn(f"order {number // 2}", domain)
    return order[::-1] if number % 2 else order


def _drawn(seed: str, domain: Domain) -> Order:
    order = list(range(domain.choices))
    Random(seed).shuffle(order)  # noqa: S311 - it has to be repeatable
    return tuple(order)
