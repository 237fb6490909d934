"""What a deployment is billed for its tokens.

A price depends on the model and on the type of the deployment: config/models.yaml has both. A
different price that was agreed with Azure is set with the deployment, and takes precedence.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.usage import TokenUsage

DeploymentType = Literal["global_standard", "data_zone", "standard", "provisioned", "batch"]


LEAST = Decimal("1e-12")
"""US dollars: the unit in which the database counts."""


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Amount = Annotated[Decimal, Field(ge=0, decimal_places=6)]


class Price(_Row):
    """US dollars for a million tokens."""

    input: Amount
    cached: Amount | None = Field(
        None, description="Of tokens from the prompt cache; unset: what `input` costs."
    )
    cache_write: Amount | None = Field(
        None, description="Of tokens that fill the prompt cache; unset: what `input` costs."
    )
    output: Amount
    as_of: date | None = None
    source: str = ""

    def of(self, usage: TokenUsage) -> Decimal:
        if not usage.parts:
            return (self.input * usage.prompt + self.output * usage.completion) / 1_000_000
        cached, written = (usage.parts.get(part, 0) for part in ("cached", "cache_write"))
        millionths = (
            self.input * (usage.prompt - cached - written)
            + (self.input if self.cached is None else self.cached) * cached
            + (self.input if self.cache_write is None else self.cache_write) * written
            + self.output * usage.completion
        )
        return millionths / 1_000_000

    def times(self, factor: Decimal) -> "Price":
        if factor == 1:
            return self
        scaled = {
            name: None if (each := getattr(self, name)) is None else _whole(each * factor)
            for name in ("input", "cached", "cache_write", "output")
        }
        return self.model_copy(update=scaled)

    def most(self, prompt: int, completion: int) -> TokenUsage:
        """The most that so many tokens can cost: none is made cheaper by the prompt cache, and all
        are as expensive as it can make them."""
        fills = self.cache_write is not None and self.cache_write > self.input
        usage = TokenUsage(prompt, completion, {"cache_write": prompt} if fills else {})
        return replace(usage, cost_usd=self.of(usage), price=self.version)

    @property
    def version(self) -> str:
        """Eight hex digits that differ for every price."""
        return _version(self.input, self.cached, self.cache_write, self.output)


def _whole(amount: Decimal) -> Decimal:
    """Rounded, so that what any number of tokens costs is exact."""
    return amount.quantize(Decimal("1e-6"))


@lru_cache
def _version(*amounts: Decimal | None) -> str:
    text = " ".join("" if each is None else f"{each.normalize():f}" for each in amounts)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class Factor(_Row):
    """The factor by which a type of deployment multiplies the price of a model."""

    factor: Decimal = Field(ge=0)
    as_of: date
    source: str


class AgreedPrice(_Row):
    """What a deployment costs, where that differs from config/models.yaml: US dollars for a million
    tokens, or provisioned throughput, spread over the tokens that it is used for."""

    input: Amount | None = Field(None, description="USD for a million tokens.")
    cached: Amount | None = None
    cache_write: Amount | None = None
    output: Amount | None = None
    usd_per_hour: Decimal | None = Field(
        None, ge=0, description="Of all provisioned units of the deployment."
    )
    tokens_per_minute: int | None = Field(
        None, ge=1, description="Prompt tokens a minute that they are used for on average."
    )
    output_weight: Decimal = Field(
        Decimal(4),
        gt=0,
        description="Prompt tokens that a token of the answer takes of provisioned throughput.",
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        by_token = self.input is not None and self.output is not None
        amortised = self.usd_per_hour is not None and self.tokens_per_minute is not None
        if by_token == amortised:
            raise ValueError("needs input and output, or usd_per_hour and tokens_per_minute")
        return self

    @cached_property
    def price(self) -> Price:
        """If amortised, tokens from the prompt cache are free, as they take no throughput."""
        if self.usd_per_hour is not None and self.tokens_per_minute is not None:
            million = _whole(self.usd_per_hour * 1_000_000 / (60 * self.tokens_per_minute))
            return Price(
                input=million, cached=Decimal(0), output=_whole(million * self.output_weight)
            )
        assert self.input is not None and self.output is not None  # noqa: S101, PT018
        return Price(
            input=self.input, cached=self.cached, cache_write=self.cache_write, output=self.output
        )


@dataclass(frozen=True, slots=True)
class Tariff:
    """On what the price of a deployment depends."""

    kind: DeploymentType = "global_standard"
    agreed: AgreedPrice | None = None


GLOBAL_STANDARD = Tariff()
