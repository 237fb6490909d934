"""Tokens of pictures and text, computed from what OpenAI publishes, independently of the
service."""

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Detail = Literal["low", "high", "auto", "original"]

TILE = 512  # pixels
TILED_LONG_SIDE = 2048
TILED_SHORT_SIDE = 768
PATCH = 32

CHARACTERS_PER_TOKEN = 4
"""The published rule of thumb for English, used to estimate a call when it arrives."""
PER_MESSAGE = 4
"""Framing of each message of a prompt, including its role."""
PER_ANSWER = 3
"""The opening of the answer, billed with the prompt."""

_PIECES = re.compile(r"'\w+|[^\W\d_]{1,12}|\d{1,3}|[^\w\s]+|_+|\n+")


@dataclass(frozen=True, slots=True)
class Tiles:
    """`base`, and at high detail `tile` for every 512 px square that the picture touches."""

    base: int
    tile: int

    def tokens(self, width: int, height: int, detail: Detail) -> int:
        if detail == "low":
            return self.base
        width, height = _fit(width, height, TILED_LONG_SIDE / max(width, height))
        width, height = _fit(width, height, TILED_SHORT_SIDE / min(width, height))
        return self.base + self.tile * math.ceil(width / TILE) * math.ceil(height / TILE)


@dataclass(frozen=True, slots=True)
class Fit:
    """How far a picture is shrunk before it is cut into patches; no `budget`: no limit."""

    longest: int
    budget: int | None = None


@dataclass(frozen=True, slots=True)
class Patches:
    """A token for every 32 px square, times `percent` / 100.

    Attributes:
        original: None where a model has no such detail and treats it as `high`.
        auto: the detail that `auto` stands for.
    """

    percent: int
    low: Fit
    high: Fit
    original: Fit | None = None
    auto: Literal["high", "original"] = "high"

    def tokens(self, width: int, height: int, detail: Detail) -> int:
        chosen = self.auto if detail == "auto" else detail
        fit = {"low": self.low, "high": self.high, "original": self.original or self.high}[chosen]
        # In integers: 1.2 times 5 must not become 6.0000000001, which would be rounded up to 7.
        return -(-_patches(width, height, fit) * self.percent // 100)


def _fit(width: int, height: int, share: float) -> tuple[int, int]:
    if share >= 1:
        return width, height
    return max(1, int(width * share)), max(1, int(height * share))


def _patches(width: int, height: int, fit: Fit) -> int:
    share = min(1.0, fit.longest / max(width, height))
    width, height = max(1, round(width * share)), max(1, round(height * share))
    count = math.ceil(width / PATCH) * math.ceil(height / PATCH)
    if fit.budget is None or count <= fit.budget:
        return count
    share = math.sqrt(PATCH * PATCH * fit.budget / (width * height))
    across, down = width * share / PATCH, height * share / PATCH
    share *= min(max(1, math.floor(across)) / across, max(1, math.floor(down)) / down)
    width, height = max(1, math.floor(width * share)), max(1, math.floor(height * share))
    return math.ceil(width / PATCH) * math.ceil(height / PATCH)


def estimated(characters: int) -> int:
    """The tokens a text counts as when a call arrives, before it is tokenised."""
    return math.ceil(characters / CHARACTERS_PER_TOKEN)


@lru_cache(4096)
def billed(text: str) -> int:
    """The tokens a text is billed as: words, punctuation and line ends, roughly as o200k splits
    English."""
    return len(_PIECES.findall(text))
