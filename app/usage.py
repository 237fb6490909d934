"""What a call to a provider was billed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one call or of several.

    Attributes:
        prompt, completion: as billed.
        parts: what some of them were: `cached` and `cache_write` of the prompt, `reasoning` of the
            completion.
        cost_usd: US dollars, None when the price is not known.
    """

    prompt: int = 0
    completion: int = 0
    parts: Mapping[str, int] = field(default_factory=dict)
    cost_usd: Decimal | None = Decimal(0)

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        names = self.parts.keys() | other.parts.keys()
        return TokenUsage(
            self.prompt + other.prompt,
            self.completion + other.completion,
            {name: self.parts.get(name, 0) + other.parts.get(name, 0) for name in sorted(names)},
            None
            if self.cost_usd is None or other.cost_usd is None
            else self.cost_usd + other.cost_usd,
        )
