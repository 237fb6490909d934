"""From bytes to a PreparedImage: header first, limits, then no more pixels than needed."""

import io
from collections.abc import Iterator

from PIL import Image, UnidentifiedImageError

from app.errors import ImageTooLarge, ImageUnreadable
from app.images import fingerprint, jpeg, quality
from app.images.colour import reduced, srgb
from app.images.prepared import PreparedImage, fitted
from app.images.structure import count_scans

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Formats that are accepted, judged by content; an MPO is a JPEG. No other decoder is tried."""

MEGAPIXEL = 1_000_000
MAX_PIXELS = 32 * MEGAPIXEL
MAX_PIXELS_BASELINE_JPEG = 100 * MEGAPIXEL
"""A JPEG of one scan is decoded at a fraction of its size, row by row; others are decoded whole."""

MAX_PIXELS_WEBP = 18 * MEGAPIXEL
"""The WebP decoder takes 16 bytes per pixel: one picture may take 300 MB."""

MAX_SCANNED_PIXELS = 1_000 * MEGAPIXEL
"""Each scan of a JPEG goes through all its pixels, even if it changes none, and a small file may
hold thousands of scans. A progressive photograph has 10 to 20."""

LIGHT_PIXELS = 6 * MEGAPIXEL
LIGHT_PIXELS_BASELINE_JPEG = 48 * MEGAPIXEL
LIGHT_SCANNED_PIXELS = 100 * MEGAPIXEL
"""Up to these limits a picture is decoded in about a tenth of a second."""

# Pillow's own limit: it refuses twice as many pixels before it allocates memory for a picture.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS_BASELINE_JPEG // 2

PREPARATION_VERSION = 2
"""Incremented with every change of what a provider sees of a picture, or of what is measured."""

FLAT = 0.02
"""Contrast up to which a picture has no perceptual hash: it would only describe noise."""

ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The operation that undoes each EXIF orientation; those from 5 on swap width and height."""


class HeavyPicture(Exception):
    """Decoding it would take longer than was allowed for; nothing is wrong with it."""


def prepare(
    data: bytes,
    *,
    longest: int,
    sha256: str | None = None,
    light: bool = False,
    encode: bool = False,
) -> PreparedImage:
    """Decode a picture for providers that want its longest side at most `longest` pixels.

    CPU-bound: milliseconds for an ordinary photograph, at most two seconds for a hostile one. With
    `light` set, such a heavy picture is not decoded, but raises HeavyPicture. `sha256` is that of
    `data`, where it is known; `encode` makes the JPEG at once.
    Raises ImageUnreadable for what is not a picture in one of the FORMATS, or is broken or cut off,
    and ImageTooLarge for too many pixels.
    """
    if not data:
        raise ImageUnreadable("The file is empty.")
    try:
        scans = count_scans(data)
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _check_size(picture, scans, light=light)
            image = _prepare(picture, data, longest, sha256 or fingerprint.sha256(data))
    except (ImageUnreadable, ImageTooLarge, HeavyPicture):
        raise
    except Image.DecompressionBombError:
        raise ImageTooLarge("The picture has too many pixels.") from None
    except UnidentifiedImageError:
        raise ImageUnreadable(
            "This is no picture that can be read: JPEG, PNG, WebP, GIF, BMP and TIFF are."
        ) from None
    except Exception as error:
        # Decoders raise whatever a broken file makes them stumble over: OSError, SyntaxError,
        # ValueError, struct.error, EOFError, ...
        raise ImageUnreadable("The picture is broken or cut off.") from error
    if encode:
        image.encode()
    return image


def _prepare(picture: Image.Image, data: bytes, longest: int, sha256: str) -> PreparedImage:
    kind = picture.format or "unknown"
    is_jpeg = kind in ("JPEG", "MPO")
    width, height = picture.size
    warnings = list(_oddities(picture))
    if is_jpeg:
        # The decoder scales by 1/2, 1/4 or 1/8 nearly for free, never below what is needed.
        picture.draft(None, fitted(width, height, longest))
    picture.load()
    orientation = picture.getexif().get(ORIENTATION, 1)
    upright = UPRIGHT.get(orientation) if isinstance(orientation, int) else None

    plain = reduced(picture, max(picture.size) // (2 * longest))
    decoded, profile_fits = srgb(plain, picture.info.get("icc_profile"))
    if not profile_fits:
        warnings.append("Its colour profile is broken or does not fit, and was ignored.")
    if upright is not None:
        decoded = decoded.transpose(upright)
        if orientation >= 5:
            width, height = height, width
    if decoded is picture and kind != "JPEG":
        # A file of several frames would stay open as long as its pixels are held.
        decoded = picture.copy()
    # What Pillow still holds of the original (a comment, a profile) would be written into every
    # JPEG, or be held as long as the pixels.
    for known in ("info", "app", "applist"):
        getattr(decoded, known, []).clear()
    tables = getattr(picture, "quantization", None)
    small = quality.thumbnail(decoded)
    measures = quality.measure(
        small,
        width=width,
        height=height,
        jpeg_quality=jpeg.quality_of(tables) if is_jpeg and tables else None,
    )
    return PreparedImage(
        decoded,
        longest=longest,
        sha256=sha256,
        phash=fingerprint.difference_hash(small) if measures.contrast > FLAT else None,
        format=kind,
        width=width,
        height=height,
        bytes=len(data),
        measures=measures,
        warnings=tuple(warnings),
    )


def _check_size(picture: Image.Image, scans: int | None, *, light: bool) -> None:
    """Judged by the header alone. `scans` is None for anything but a JPEG."""
    pixels = picture.width * picture.height
    most = MAX_PIXELS_WEBP if picture.format == "WEBP" else MAX_PIXELS
    row_by_row = scans == 1 and not picture.info.get("progressive")
    if row_by_row:
        most = MAX_PIXELS_BASELINE_JPEG
    if pixels > most:
        raise ImageTooLarge(
            f"The picture has {pixels / MEGAPIXEL:.0f} megapixels; at most "
            f"{most // MEGAPIXEL} are taken."
        )
    if scans is not None and scans * pixels > MAX_SCANNED_PIXELS:
        megapixels = pixels / MEGAPIXEL
        raise ImageTooLarge(f"The picture has {scans} scans of {megapixels:.1f} megapixels.")
    if light and (
        pixels > (LIGHT_PIXELS_BASELINE_JPEG if row_by_row else LIGHT_PIXELS)
        or pixels * (scans or 1) > LIGHT_SCANNED_PIXELS
    ):
        raise HeavyPicture


def _oddities(picture: Image.Image) -> Iterator[str]:
    # Not `n_frames`: to count them, Pillow goes through a GIF of a million frames one by one.
    if getattr(picture, "is_animated", False) and picture.format != "MPO":
        yield "Only the first of its frames was looked at."
