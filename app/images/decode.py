"""From bytes to a PreparedImage: header first, limits, then no more pixels than needed."""

import hashlib
import io
import warnings as python_warnings

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from app.errors import ImageTooLarge, ImageUnreadable
from app.images.prepared import PreparedImage, fitted

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""What is taken, by content; an MPO is a JPEG. No other decoder is tried."""

MEGAPIXEL = 1_000_000
MAX_PIXELS = 32 * MEGAPIXEL
MAX_PIXELS_BASELINE_JPEG = 100 * MEGAPIXEL
"""A baseline JPEG is decoded at a fraction of its size, row by row; all else needs it whole."""

_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_SIDEWAYS = {5, 6, 7, 8}
"""EXIF orientations that swap width and height."""


def prepare(data: bytes, *, longest: int) -> PreparedImage:
    """Decode a picture for providers that want its longest side at most `longest` pixels.

    CPU work: milliseconds for an ordinary photograph. Raises ImageUnreadable for what is no
    picture of a kind in FORMATS, broken or cut off, and ImageTooLarge for too many pixels.
    """
    if not data:
        raise ImageUnreadable("The file is empty.")
    try:
        with python_warnings.catch_warnings():
            # Pillow warns of pictures that its limit calls bombs; the limits here are judged first.
            python_warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                return _prepare(picture, data, longest)
    except (ImageUnreadable, ImageTooLarge):
        raise
    except UnidentifiedImageError:
        raise ImageUnreadable(
            "This is no picture that can be read: JPEG, PNG, WebP, GIF, BMP and TIFF are."
        ) from None
    except Image.DecompressionBombError:
        raise ImageTooLarge("The picture has too many pixels.") from None
    except Exception as error:
        # Decoders raise whatever a broken file makes them stumble over: OSError, SyntaxError,
        # ValueError, struct.error, EOFError, ...
        raise ImageUnreadable("The picture is broken or cut off.") from error


def _prepare(picture: Image.Image, data: bytes, longest: int) -> PreparedImage:
    _check_size(picture)
    width, height = picture.size
    kind = picture.format or "unknown"
    warnings = tuple(_oddities(picture))
    if kind in ("JPEG", "MPO"):
        # The decoder scales by 1/2, 1/4 or 1/8 nearly for free, never below what is needed.
        picture.draft(None, fitted(width, height, longest))
    picture.load()
    orientation = picture.getexif().get(0x0112, 1)
    ImageOps.exif_transpose(picture, in_place=True)
    decoded = _rgb(picture)
    if orientation in _SIDEWAYS:
        width, height = height, width
    size = fitted(width, height, longest)
    if max(decoded.size) > 2 * max(size):
        decoded = decoded.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    if decoded is picture and kind != "JPEG":
        # A file of several frames would stay open as long as its pixels are there.
        decoded = picture.copy()
    # What Pillow still knows of the original (a comment, a profile) would go into every JPEG.
    decoded.info.clear()
    return PreparedImage(
        decoded,
        longest=longest,
        sha256=hashlib.sha256(data).hexdigest(),
        format=kind,
        width=width,
        height=height,
        bytes=len(data),
        warnings=warnings,
    )


def _check_size(picture: Image.Image) -> None:
    pixels = picture.width * picture.height
    baseline = picture.format in ("JPEG", "MPO") and not picture.info.get("progressive")
    most = MAX_PIXELS_BASELINE_JPEG if baseline else MAX_PIXELS
    if pixels > most:
        raise ImageTooLarge(
            f"The picture has {pixels / MEGAPIXEL:.0f} megapixels; at most "
            f"{most // MEGAPIXEL} are taken."
        )


def _oddities(picture: Image.Image) -> list[str]:
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":
        return [f"Only the first of {frames} frames was looked at."]
    return []


def _rgb(picture: Image.Image) -> Image.Image:
    """`picture` as RGB in sRGB, transparency on white."""
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = _eight_bit(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return _in_srgb(Image.alpha_composite(white, picture).convert("RGB"), picture)
    coloured = _in_srgb(picture, picture)
    return coloured if coloured.mode == "RGB" else coloured.convert("RGB")


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Grey of 16 bits or more as 8 bits. Pillow's own conversion cuts at 255: all white."""
    values = np.asarray(picture, dtype=np.float64)
    top = 65_535 if picture.mode != "F" or values.max(initial=0) > 1 else 1
    return Image.fromarray((np.clip(values / top, 0, 1) * 255).round().astype(np.uint8))


def _in_srgb(picture: Image.Image, original: Image.Image) -> Image.Image:
    """Colours as a screen without colour management shows them, by the embedded profile."""
    profile = original.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "CMYK", "L"):
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return picture
        converted = ImageCms.profileToProfile(picture, source, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        # A profile that does not fit its picture is ignored, as browsers do.
        return picture
    return converted or picture
