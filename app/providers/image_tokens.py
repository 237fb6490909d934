"""What a picture takes of a prompt: by its family's formula, else learned from what was billed."""

import math
from dataclasses import dataclass

from app.images import PreparedImage
from app.providers.profiles import Detail, ModelFamily

FIRST_GUESS = 1_100
"""Tokens, before anything is learned: more than most models take for 512 pixels."""

MOST_GUESSED, MOST_LEARNED = 8, 2
"""By how much a guess may be too low, and what was learned: the published formulas say 70 to 8,500
tokens for 512 pixels."""

PATCH = 32
NEWEST_SHARE = 0.2
"""Weight of the newest observation in the running mean."""


@dataclass(frozen=True, slots=True)
class ImageTokens:
    """
    Attributes:
        estimated: no published formula stands behind `count`.
    """

    count: int
    estimated: bool


class ImageTokenCounter:
    """For one deployment. What is learned is tokens for a patch of 32 x 32 pixels."""

    def __init__(self) -> None:
        self._per_patch: float | None = None

    def count(self, family: ModelFamily, image: PreparedImage, detail: Detail) -> ImageTokens:
        known = family.image_tokens(*image.size, detail)
        if known is not None:
            return ImageTokens(known, estimated=False)
        if self._per_patch is None:
            return ImageTokens(FIRST_GUESS, estimated=True)
        return ImageTokens(math.ceil(self._per_patch * _patches(image)), estimated=True)

    def most(self, family: ModelFamily, image: PreparedImage, detail: Detail) -> int:
        """And not more, as far as anybody can say."""
        counted = self.count(family, image, detail)
        if not counted.estimated:
            return counted.count
        return counted.count * (MOST_GUESSED if self._per_patch is None else MOST_LEARNED)

    def learn(self, tokens: float, image: PreparedImage) -> None:
        """`tokens` is what a call with this picture was billed, less its text, about."""
        if tokens <= 0:
            return
        seen = tokens / _patches(image)
        before = seen if self._per_patch is None else self._per_patch
        self._per_patch = before + NEWEST_SHARE * (seen - before)


def _patches(image: PreparedImage) -> int:
    width, height = image.size
    return math.ceil(width / PATCH) * math.ceil(height / PATCH)
