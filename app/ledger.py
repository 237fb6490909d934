"""What one call to a provider cost, or what was saved by not making one."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from app.identifiers import CALL, new_id
from app.usage import TokenUsage

Kind = Literal["asked", "kept", "shared", "duplicate", "cascade"]
"""`asked`: a call. All others are answers without one: kept from an earlier request, shared with
one at the same time, that of the same picture in a batch, or given earlier in a cascade by a
provider that was sure enough."""

ERASED = "erased"
"""The name under which the costs of erased callers are kept; no caller may have it."""


@dataclass(slots=True)
class LedgerEntry:
    """
    Attributes:
        id: `cal_...`, of the moment `at` when the call began.
        process: the one that made the call.
        tariff: the type of the deployment, on which its price depends.
        outcome: `answered`, `open` while it is not known, or the kind of error.
        image_tokens, cached_tokens, cache_write_tokens: of `prompt_tokens`.
        reasoning_tokens: of `completion_tokens`.
        cost_usd: None: the price is not known.
        price: the version of the price by which the cost was calculated.
        estimated: the provider did not say what was billed; these are the reserved amounts.
        answers: 1 if a result got its answer from it.
        saved_usd: what the answer had cost when the provider was asked.
    """

    id: str
    at: datetime
    process: str
    provider: str
    model: str
    deployment: str
    tariff: str
    caller: str
    domain: str
    batch_id: str | None = None
    result_id: str | None = None
    kind: Kind = "asked"
    outcome: str = "open"
    prompt_tokens: int = 0
    image_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: Decimal | None = Decimal(0)
    price: str | None = None
    estimated: bool = False
    answers: int = 0
    saved_usd: Decimal = Decimal(0)

    @property
    def usage(self) -> TokenUsage:
        parts = {
            "cached": self.cached_tokens,
            "cache_write": self.cache_write_tokens,
            "reasoning": self.reasoning_tokens,
        }
        return TokenUsage(
            self.prompt_tokens,
            self.completion_tokens,
            {name: count for name, count in parts.items() if count},
            self.cost_usd,
            self.price,
        )


def new_call_id(at: datetime) -> str:
    return new_id(CALL, at)
