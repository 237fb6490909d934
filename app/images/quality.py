"""Whether a picture is good enough to be judged: measured once, compared with thresholds later.

All is measured on a copy of at most SIDE pixels, so that it means the same for every size. The
default thresholds were set on deliberately degraded photographs: docs/images.md has the figures.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from app.image_quality import Quality
from app.settings_groups import QualitySettings

SIDE = 256
HOT = 250
"""Value of a channel, of 255, from which on it holds no more detail."""
STUDIO = 0.95
"""Share of the outermost pixels above which white means an object on a white background."""
STUDIO_CLIPPED = 1 / 3
"""On such a background only the object itself is measured, and less of it may be clipped."""

Kind = Literal[
    "uniform",
    "too_dark",
    "too_bright",
    "low_contrast",
    "blurred",
    "too_small",
    "extreme_aspect",
    "heavily_compressed",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a picture, also in words with the measured value."""

    kind: Kind
    text: str


def thumbnail(picture: Image.Image) -> Image.Image:
    """`picture` at most SIDE pixels long."""
    share = SIDE / max(picture.size)
    if share >= 1:
        return picture
    width, height = (max(1, round(side * share)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=1.0)


def measure(small: Image.Image, *, width: int, height: int, jpeg_quality: int | None) -> Quality:
    """Measure an RGB `thumbnail`; `width` and `height` are the original's.

    Sharpness is the steepest change of slope over the steepest slope, each the 99th percentile, so
    that contrast plays no part.
    """
    luma = small.convert("L")
    levels = np.array(luma.histogram())
    darkest, brightest = _percentile(levels, 0.01) / 255, _percentile(levels, 0.99) / 255
    return Quality(
        sharpness=round(_sharpness(np.asarray(luma).astype(np.int16)), 3),
        brightest=round(brightest, 3),
        clipped=round(_clipped(small), 3),
        contrast=round(brightest - darkest, 3),
        long_side=max(width, height),
        aspect=round(max(width, height) / min(width, height), 2),
        jpeg_quality=jpeg_quality,
    )


def findings(measures: Quality, limits: QualitySettings) -> list[Finding]:
    """What falls short of the limits, the worst first; empty for a good picture."""
    return [*_of_light(measures, limits), *_of_shape(measures, limits)]


def _of_light(measures: Quality, limits: QualitySettings) -> Iterator[Finding]:
    """Without light there is no contrast either: only the finding that explains the others is
    given."""
    if measures.contrast < limits.min_contrast / 4:
        yield Finding("uniform", f"It is nearly one colour (contrast {measures.contrast:.0%}).")
    elif measures.brightest < limits.min_brightest:
        yield Finding(
            "too_dark", f"It is too dark (its brightest parts reach {measures.brightest:.0%})."
        )
    else:
        if measures.clipped > limits.max_clipped:
            yield Finding(
                "too_bright", f"It is overexposed ({measures.clipped:.0%} is white or burnt out)."
            )
        if measures.contrast < limits.min_contrast:
            yield Finding(
                "low_contrast", f"It has little contrast ({measures.contrast:.0%} of the range)."
            )
        if measures.sharpness < limits.min_sharpness:
            yield Finding(
                "blurred",
                f"It is blurred (sharpness {measures.sharpness:.2f}; in focus it is about 1).",
            )


def _of_shape(measures: Quality, limits: QualitySettings) -> Iterator[Finding]:
    if measures.long_side < limits.min_side:
        yield Finding(
            "too_small", f"It is too small ({measures.long_side} pixels on its long side)."
        )
    if measures.aspect > limits.max_aspect:
        yield Finding(
            "extreme_aspect",
            f"It is a strip ({measures.aspect:.0f} times as long as it is wide).",
        )
    if measures.jpeg_quality is not None and measures.jpeg_quality < limits.min_jpeg_quality:
        yield Finding(
            "heavily_compressed",
            f"It is heavily compressed (JPEG quality {measures.jpeg_quality} of 100).",
        )


def _percentile(counts: NDArray[np.intp], share: float) -> int:
    """The least value that `share` of what was counted does not exceed."""
    return int(np.searchsorted(np.cumsum(counts), share * counts.sum()))


def _sharpness(luma: NDArray[np.int16]) -> float:
    if min(luma.shape) < 3:
        return 0.0
    centre = luma[1:-1, 1:-1]
    left, right = luma[1:-1, :-2], luma[1:-1, 2:]
    above, below = luma[:-2, 1:-1], luma[2:, 1:-1]
    curvature = np.abs(left + right + above + below - 4 * centre)
    slope = np.maximum(np.abs(right - left), np.abs(below - above))
    steepest, steepest_change = (
        _percentile(np.bincount(each.ravel()), 0.99) for each in (slope, curvature)
    )
    return steepest_change / (steepest + 1)


def _clipped(small: Image.Image) -> float:
    red, green, blue = small.split()
    most = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    least = ImageChops.darker(ImageChops.darker(red, green), blue)
    burnt, white = np.asarray(most) >= HOT, np.asarray(least) >= HOT
    frame = np.concatenate([white[0], white[-1], white[:, 0], white[:, -1]])
    thing = ~white
    if frame.mean() > STUDIO and thing.any():
        return float(burnt[thing].mean()) / STUDIO_CLIPPED
    return float(burnt.mean())
