"""Converts every way of storing colours to sRGB on white."""

import io

import numpy as np
from PIL import Image, ImageCms

from app.errors import ImageUnreadable

_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))

BAND_PIXELS = 1_000_000
"""Pixels that are converted at a time, so that a large picture is never in memory twice."""


def reduced(picture: Image.Image, factor: int) -> Image.Image:
    """`picture` shrunk by a whole factor, in 8 bits a channel, its palette resolved.

    Each pixel is the mean of factor x factor pixels; transparent ones have no weight.
    """
    plain = _Plain(picture)
    if factor <= 1:
        return plain.of(picture)
    width, height = picture.size
    rows = factor * max(1, BAND_PIXELS // (width * factor))
    made: Image.Image | None = None
    for top in range(0, height, rows):
        box = (0, top, width, min(height, top + rows))
        band = plain.of(picture.crop(box)).reduce(factor)
        if made is None:
            made = Image.new(band.mode, (band.width, -(-height // factor)))
        made.paste(band, (0, top // factor))
    assert made is not None  # noqa: S101 - no picture is without rows
    return made


def srgb(picture: Image.Image, profile: bytes | None) -> tuple[Image.Image, bool]:
    """The picture as RGB in sRGB, transparency on white; and whether the embedded `profile`, if
    there is one, could be used.

    A profile that is broken or does not fit is ignored, as browsers do. A picture that needs no
    change is returned as it is.
    """
    opaque = picture
    if picture.mode in ("RGBA", "LA"):
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        opaque = Image.alpha_composite(white, picture).convert("RGB")
    converted, fits = _by_profile(opaque, profile)
    return (converted if converted.mode == "RGB" else converted.convert("RGB")), fits


class _Plain:
    """Turns bands of one picture into L, LA, RGB, RGBA, CMYK or LAB. Raises ImageUnreadable."""

    def __init__(self, picture: Image.Image) -> None:
        self._top = _top_value(picture)
        self._clear = picture.info.get("transparency")
        self._mode = {"1": "L", "P": "RGB", "YCbCr": "RGB", "HSV": "RGB"}.get(picture.mode)
        if picture.has_transparency_data and picture.mode not in ("LA", "RGBA"):
            self._mode = "RGBA"

    def of(self, band: Image.Image) -> Image.Image:
        if self._top is not None:
            values = np.asarray(band).astype(np.float32)
            if not np.isfinite(values).all():
                raise ImageUnreadable("The picture holds values that are no numbers.")
            share = np.clip(values / self._top, 0, 1)
            grey = Image.fromarray((share * 255).round().astype(np.uint8))
            if self._clear is not None:
                grey.putalpha(Image.fromarray(values != self._clear))
            return grey
        return band if self._mode is None else band.convert(self._mode)


def _top_value(picture: Image.Image) -> float | None:
    """The value of white in grey of 16 bits or more; None for 8 bits. Pillow's own conversion clips
    at 255, so that all is white. With 32 bits there are several customs; the largest value tells
    which one applies."""
    if picture.mode.startswith("I;"):
        return 65_535
    if picture.mode not in ("I", "F"):
        return None
    _, most = picture.getextrema()
    customs = (1, 255, 65_535) if picture.mode == "F" else (255, 65_535)
    return next((top for top in customs if float(most) <= top), 65_535)  # type: ignore[arg-type]


def _by_profile(picture: Image.Image, profile: bytes | None) -> tuple[Image.Image, bool]:
    if not profile or picture.mode not in ("RGB", "CMYK", "L"):
        return picture, not profile
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return picture, True
        converted = ImageCms.profileToProfile(picture, source, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return picture, False
    return converted or picture, True
