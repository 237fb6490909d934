"""Families of chat models: what they accept, how many tokens a picture takes, what they cost.

The table is config/models.yaml. It changes more often than this code.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.prices import DeploymentType, Factor, Price, Tariff
from app.settings import Settings
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
    factors: dict[DeploymentType, Decimal | None] = Field(
        {},
        description="By what a type of deployment multiplies the price, where not as for all "
        "families; null: not known.",
    )
    retires: date | None = Field(None, description="When Azure retires it.")

    def image_tokens(self, width: int, height: int, detail: Detail) -> int | None:
        """Tokens of a picture of this size in pixels; None when the formula is not known."""
        formula = self.tiles or self.patches
        return formula.tokens(width, height, detail) if formula else None


UNKNOWN_FAMILY = ModelFamily(name="unknown")
"""Every parameter is tried; those that the model refuses are dropped."""


class _Table(_Row):
    deployment_types: dict[DeploymentType, Factor] = {}
    families: list[ModelFamily]


class ModelTable:
    def __init__(
        self,
        families: Iterable[ModelFamily],
        deployment_types: Mapping[DeploymentType, Factor] | None = None,
    ) -> None:
        self._families = {family.name: family for family in families}
        self._factors = dict(deployment_types or {})
        self._prices: dict[tuple[str, DeploymentType], Price | None] = {}

    @classmethod
    def read(cls, path: Path) -> "ModelTable":
        """Raises ConfigurationError."""
        table = YamlFile.read(path).validate(_Table)
        return cls(table.families, table.deployment_types)

    def price(self, model: str | None, tariff: Tariff) -> Price | None:
        """The price of this model's tokens at this tariff; None: not known."""
        if tariff.agreed is not None:
            return tariff.agreed.price
        return self._price(self.family(model), tariff.kind)

    def unpriced(self, settings: Settings) -> list[str]:
        """Models named in the settings whose price at their deployment is not known."""
        azure = settings.azure_deployments if settings.azure_configured else ()
        named = [(each.model, each.tariff) for each in azure]
        named.append((settings.openai.model, Tariff(agreed=settings.openai.price)))
        return sorted({model for model, tariff in named if model and not self.price(model, tariff)})

    def dearest(self, tariff: Tariff) -> Price | None:
        """The highest price that may apply while the model is not known yet."""
        if tariff.agreed is not None:
            return tariff.agreed.price
        found = (self._price(each, tariff.kind) for each in self._families.values())
        prices = [each for each in found if each is not None]
        if not prices:
            return None
        return Price(
            input=max(max(each.input, each.cache_write or 0) for each in prices),
            output=max(each.output for each in prices),
        )

    def _price(self, family: ModelFamily, kind: DeploymentType) -> Price | None:
        key = (family.name, kind)
        if key not in self._prices:
            self._prices[key] = self._price_at(family, kind)
        return self._prices[key]

    def _price_at(self, family: ModelFamily, kind: DeploymentType) -> Price | None:
        if kind in family.factors:
            factor = family.factors[kind]
        else:
            factor = self._factors[kind].factor if kind in self._factors else None
        return None if family.price is None or factor is None else family.price.times(factor)

    def family(self, model: str | None) -> ModelFamily:
        """The family of "gpt-4o-2024-11-20": the longest known name that matches up to a "-"."""
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
