"""What a JPEG's quantisation tables tell."""

from collections.abc import Mapping, Sequence

_LUMINANCE = 3_688
"""Sum of the luminance table of the JPEG standard (ITU T.81, annex K.1), which is quality 50."""


def quality_of(tables: Mapping[int, Sequence[int]]) -> int | None:
    """The quality, 1 to 100, at which libjpeg would write these quantisation tables, about."""
    if not tables:
        return None
    scale = 100 * sum(tables[min(tables)]) / _LUMINANCE
    quality = 5_000 / scale if scale > 100 else (200 - scale) / 2
    return max(1, min(100, round(quality)))
