"""In which order the classes are offered, that no class profits from its place."""

from random import Random

from app.domains import Domain
from app.providers.chat_quote import quote
from app.providers.question import ChatQuestion
from app.remembered import Remembered

Order = tuple[int, ...]
"""Places of the classes, "none of these" included where it is allowed."""

CACHED_FROM = 1_024
"""Tokens. Prompts that begin with as many alike are cheaper after the first. Source: Azure OpenAI's
"Prompt caching"."""

FIXED = 8
"""Orders of a domain whose prompt is as long, half of them the others' reverse."""

MAX_KEPT = 1_000
"""Domains of which it is known how long their prompts are."""


class Orders:
    """The same picture is asked about in the same order whenever that is."""

    def __init__(self) -> None:
        self._are_long = Remembered[tuple[str, str], bool](MAX_KEPT)

    def of(self, sha256: str, domain: Domain, call: int = 0) -> Order:
        """Of this call about this picture: its own, or, where the prompt is so long that it is
        worth caching, one of a few."""
        is_long = self._are_long.of((domain.name, domain.version), lambda: _is_long(domain))
        return (fixed if is_long else shuffled)(sha256, domain, call)


def _is_long(domain: Domain) -> bool:
    asked = quote(ChatQuestion(domain, stated=False), thinks=False)
    return asked.text_tokens >= CACHED_FROM


def shuffled(sha256: str, domain: Domain, call: int = 0) -> Order:
    """One of all that there are."""
    return _drawn(f"{sha256} {call}", domain)


def fixed(sha256: str, domain: Domain, call: int = 0) -> Order:
    """One of those that all pictures of the domain share; of calls one after the other all."""
    number = (int(sha256, 16) + call) % FIXED
    order = _drawn(f"order {number // 2}", domain)
    return order[::-1] if number % 2 else order


def _drawn(seed: str, domain: Domain) -> Order:
    order = list(range(domain.choices))
    Random(seed).shuffle(order)  # noqa: S311 - it has to be repeatable
    return tuple(order)
