"""Pictures that tests make for themselves."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable

import numpy as np
from PIL import Image


def encoded(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def photograph(width: int = 320, height: int = 240, seed: int = 1) -> Image.Image:
    """Smooth colours with some noise: compresses about as well as a photograph."""
    noise = np.random.default_rng(seed)
    coarse = Image.fromarray(noise.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = noise.integers(-6, 7, smooth.shape, dtype=np.int16)
    return Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))


def jpeg(width: int = 320, height: int = 240, seed: int = 1, **options) -> bytes:
    return encoded(photograph(width, height, seed), "JPEG", **options)


def zipped(pictures: Iterable[bytes]) -> bytes:
    """An archive of JPEGs, starting with `0.jpg`."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as packed:
        for number, picture in enumerate(pictures):
            packed.writestr(f"{number}.jpg", picture)
    return held.getvalue()


def times(picture: Image.Image, factor: float) -> Image.Image:
    """Multiply every level by `factor`, clipped to the valid range."""
    values = np.asarray(picture).astype(np.float32) * factor
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def png_that_claims(width: int, height: int) -> bytes:
    """A small PNG whose header states another size."""
    data = bytearray(encoded(Image.new("RGB", (8, 8))))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def jpeg_that_claims(width: int, height: int, *, progressive: bool = False) -> bytes:
    """A small JPEG whose header states another size."""
    data = bytearray(encoded(Image.new("RGB", (8, 8)), "JPEG", progressive=progressive))
    start = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(data)
