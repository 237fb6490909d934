"""Prompt tokens of a picture: by its family's formula, else learned from what was billed."""

import math
from dataclasses import dataclass

from app.images import PreparedImage
from app.providers.profiles import Detail, ModelFamily

FIRST_GUESS = 1_100
"""Tokens, before anything is learned: more than most models take for 512 pixels."""

MOST_GUESSED, MOST_LEARNED = 8, 2
"""Factors by which a guess, and a learned figure, may be too low: the published formulas give 70 to
8,500 tokens for 512 pixels."""

PATCH = 32
NEWEST_SHARE = 0.2
"""Weight of the newest observation in the running mean."""


@dataclass(frozen=True, slots=True)
class ImageTokens:
    """
    Attributes:
        estimated: `count` does not come from a published formula or from the provider.
    """

    count: int
    estimated: bool


class ImageTokenCounter:
    """For one deployment. It learns the tokens per patch of 32 x 32 pixels."""

    def __init__(self) -> None:
        self._per_patch: float | None = None

    def count(self, family: ModelFamily, image: PreparedImage, detail: Detail) -> ImageTokens:
        known = family.image_tokens(*image.size, detail)
        if known is not None:
            return ImageTokens(known, estimated=False)
        return ImageTokens(self._by_patches(image.size), estimated=True)

    def most(self, family: ModelFamily, image: PreparedImage, detail: Detail) -> int:
        """An upper limit, as far as one can be known."""
        counted = self.count(family, image, detail)
        if not counted.estimated:
            return counted.count
        return counted.count * (MOST_GUESSED if self._per_patch is None else MOST_LEARNED)

    def most_of_size(self, family: ModelFamily, longest: int, detail: Detail) -> int:
        """An upper limit for a picture of any shape whose longest side has this many pixels."""
        # The square need not be the maximum: models that count tiles shrink it first.
        sides = (*range(PATCH, longest, PATCH), longest)
        known = [family.image_tokens(longest, each, detail) for each in sides]
        if all(each is not None for each in known):
            return max(each for each in known if each is not None)
        factor = MOST_GUESSED if self._per_patch is None else MOST_LEARNED
        return self._by_patches((longest, longest)) * factor

    def _by_patches(self, size: tuple[int, int]) -> int:
        if self._per_patch is None:
            return FIRST_GUESS
        return math.ceil(self._per_patch * _patches(size))

    def learn(self, tokens: float, image: PreparedImage) -> None:
        """`tokens`: roughly what a call with this picture was billed, less its text."""
        if tokens <= 0:
            return
        seen = tokens / _patches(image.size)
        before = seen if self._per_patch is None else self._per_patch
        self._per_patch = before + NEWEST_SHARE * (seen - before)


def _patches(size: tuple[int, int]) -> int:
    width, height = size
    return math.ceil(width / PATCH) * math.ceil(height / PATCH)
