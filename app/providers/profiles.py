"""Families of chat models: what they accept, what a picture costs them, what they cost.

The table is config/models.yaml. It changes more often than this code.
"""

import math
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.usage import TokenUsage
from app.yaml_file import YamlFile

Detail = Literal["low", "high", "auto"]

_TILE_FIT = 2048
_TILE_SHORT_SIDE = 768
_TILE = 512
_PATCH = 32


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tiles(_Row):
    """`base + tile * tiles of 512 px`; `base` alone at low detail.

    Source: OpenAI's guide "Images and vision", calculating costs.
    """

    base: int
    tile: int

    def tokens(self, width: int, height: int, detail: Detail) -> int:
        if detail == "low":
            return self.base
        share = min(1.0, _TILE_FIT / max(width, height))
        share = min(share, _TILE_SHORT_SIDE / min(width, height))
        across, down = (math.ceil(int(side * share) / _TILE) for side in (width, height))
        return self.base + self.tile * across * down


class PatchSize(_Row):
    """How far a picture is shrunk before it is cut into patches; `budget` None: no limit."""

    longest: int
    budget: int | None = None


class Patches(_Row):
    """`multiplier * patches of 32 px`, after shrinking to the detail's size and budget.

    Source: OpenAI's guide "Images and vision", calculating costs.
    """

    multiplier: float
    low: PatchSize
    high: PatchSize
    auto: PatchSize

    def tokens(self, width: int, height: int, detail: Detail) -> int:
        size: PatchSize = getattr(self, detail)
        share = min(1.0, size.longest / max(width, height))
        across, down = round(width * share), round(height * share)
        count = math.ceil(across / _PATCH) * math.ceil(down / _PATCH)
        if size.budget is not None and count > size.budget:
            count = _patches_within(size.budget, across, down)
        return math.ceil(count * self.multiplier)


class Price(_Row):
    """US dollars for a million tokens, global standard deployment."""

    input: Decimal
    cached: Decimal
    cache_write: Decimal | None = Field(
        None, description="Of tokens that fill the prompt cache; unset: what `input` costs."
    )
    output: Decimal
    as_of: date
    source: str

    def of(self, usage: TokenUsage) -> Decimal:
        cached, written = (usage.parts.get(part, 0) for part in ("cached", "cache_write"))
        millionths = (
            self.input * (usage.prompt - cached - written)
            + self.cached * cached
            + (self.input if self.cache_write is None else self.cache_write) * written
            + self.output * usage.completion
        )
        return millionths / 1_000_000


class ModelFamily(_Row):
    """One row of the table."""

    name: str
    logprobs: bool = Field(True, description="Whether `logprobs` is worth asking for.")
    temperature: bool = Field(True, description="Whether `temperature` may be set.")
    reasoning_effort: str | None = Field(
        None, description="The least effort the family takes; unset: it does not reason."
    )
    max_tokens_parameter: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    tiles: Tiles | None = None
    patches: Patches | None = None
    price: Price | None = None
    retires: date | None = Field(None, description="When Azure retires it.")

    def image_tokens(self, width: int, height: int, detail: Detail) -> int | None:
        """Tokens of a picture of this size in pixels; None when the formula is not known."""
        formula = self.tiles or self.patches
        return formula.tokens(width, height, detail) if formula else None

    def cost(self, usage: TokenUsage) -> Decimal | None:
        """US dollars; None when the price is not known."""
        return self.price.of(usage) if self.price else None


UNKNOWN_FAMILY = ModelFamily(name="unknown")
"""Everything is tried; what the model refuses is dropped."""


class _Table(_Row):
    families: list[ModelFamily]


class ModelTable:
    def __init__(self, families: list[ModelFamily]) -> None:
        self._families = {family.name: family for family in families}

    @classmethod
    def read(cls, path: Path) -> "ModelTable":
        """Raises ConfigurationError."""
        return cls(YamlFile.read(path).validate(_Table).families)

    def family(self, model: str | None) -> ModelFamily:
        """The family of "gpt-4o-2024-11-20": the longest name that it is, up to a "-"."""
        name = model or ""
        while name:
            if name in self._families:
                return self._families[name]
            name = name.rpartition("-")[0]
        return UNKNOWN_FAMILY


def _patches_within(budget: int, width: int, height: int) -> int:
    share = math.sqrt(_PATCH**2 * budget / (width * height))
    across, down = width * share / _PATCH, height * share / _PATCH
    share *= min(math.floor(across) / across, math.floor(down) / down)
    return math.ceil(int(width * share) / _PATCH) * math.ceil(int(height * share) / _PATCH)
