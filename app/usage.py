"""What a call to a provider was billed, and what the provider said about its quota."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one call or of several.

    Attributes:
        prompt, completion: as billed.
        parts: what some of them were: `cached` and `cache_write` of the prompt, `reasoning` of the
            completion.
        cost_usd: US dollars, None when the price is not known.
        price: the version of the price used; None where there was none, or several.
    """

    prompt: int = 0
    completion: int = 0
    parts: Mapping[str, int] = field(default_factory=dict)
    cost_usd: Decimal | None = Decimal(0)
    price: str | None = None

    @property
    def is_told(self) -> bool:
        """Whether the provider reported that anything was billed."""
        return bool(self.prompt or self.completion)

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        names = self.parts.keys() | other.parts.keys()
        return TokenUsage(
            self.prompt + other.prompt,
            self.completion + other.completion,
            {name: self.parts.get(name, 0) + other.parts.get(name, 0) for name in sorted(names)},
            None
            if self.cost_usd is None or other.cost_usd is None
            else self.cost_usd + other.cost_usd,
            self.price if self.price == other.price else None,
        )


@dataclass(frozen=True, slots=True)
class QuotaReport:
    """What an answer's headers and a refusal's message say about the quota per minute, unchecked:
    values may be absent, absurd or contradictory.

    Attributes:
        lacking: what was lacking for the call; `capacity` is the provider's, and no quota of ours.
    """

    limit_requests: float | None = None
    remaining_requests: float | None = None
    limit_tokens: float | None = None
    remaining_tokens: float | None = None
    lacking: Literal["requests", "tokens", "capacity"] | None = None

    def limits_only(self) -> "QuotaReport":
        """Only the limits, without what remains of them."""
        return replace(self, remaining_requests=None, remaining_tokens=None)

    def of(self, dimension: str) -> tuple[float | None, float | None]:
        """The limit and what remains of it."""
        if dimension == "requests":
            return self.limit_requests, self.remaining_requests
        if dimension == "tokens":
            return self.limit_tokens, self.remaining_tokens
        return None, None
