"""JPEGs: how one is made, and what its quantisation tables tell."""

import io
import os
from collections.abc import Mapping, Sequence

from PIL import Image

_LUMINANCE = 3_688
"""Sum of the luminance table of the JPEG standard (ITU T.81, annex K.1), which is quality 50."""


def quality_of(tables: Mapping[int, Sequence[int]]) -> int | None:
    """About the quality, 1 to 100, at which libjpeg would write these quantisation tables."""
    if not tables:
        return None
    scale = 100 * sum(tables[min(tables)]) / _LUMINANCE
    quality = 5_000 / scale if scale > 100 else (200 - scale) / 2
    return max(1, min(100, round(quality)))


def encoded(image: Image.Image, quality: int) -> bytes:
    """A baseline JPEG without metadata.

    It is written to a file in memory, where the system has these: Pillow releases the interpreter
    lock while it writes to a file descriptor, and holds it while it writes to an object. Then
    nothing else would run for half a millisecond, and a second thread would be of no use.
    """
    if not hasattr(os, "memfd_create"):  # not Linux
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return buffer.getvalue()
    with os.fdopen(os.memfd_create("jpeg"), "w+b", buffering=0) as file:
        image.save(file, "JPEG", quality=quality)
        file.seek(0)
        return file.read()
