"""Whatever the bytes: a picture, or a clear refusal."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from app.errors import ImageTooLarge, ImageUnreadable
from app.images import PreparedImage, prepare
from tests.pictures import encoded

KINDS = ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "MPO")
MODES = ("RGB", "L", "RGBA", "P", "1", "CMYK", "LA", "I;16")


def _small(mode: str) -> Image.Image:
    ramp = np.arange(24 * 18, dtype=np.uint16).reshape(18, 24) * 150
    if mode == "I;16":
        return Image.fromarray(ramp)
    return Image.fromarray((ramp >> 8).astype(np.uint8)).convert(mode)


def _seeds():
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in KINDS:
        for mode in MODES:
            for options in (
                {},
                {"exif": exif},
                {"save_all": True, "append_images": [_small(mode)]},
            ):
                try:
                    yield encoded(_small(mode), kind, **options)
                except (OSError, ValueError, KeyError, TypeError):
                    continue


SEEDS = tuple(dict.fromkeys(_seeds()))


def is_picture_or_refused(data: bytes) -> bool:
    """Nothing but the two errors comes out, and what is prepared is whole."""
    try:
        made = prepare(data, longest=64)
    except (ImageUnreadable, ImageTooLarge):
        return False
    assert isinstance(made, PreparedImage)
    assert made.pixels.mode == "RGB"
    assert made.pixels.size == made.size
    assert 1 <= min(made.size) <= max(made.size) <= 64
    assert made.square(16, 0.875).size == (16, 16)
    assert made.jpeg[:2] == b"\xff\xd8"
    return True


def test_the_seeds_are_pictures():
    """Else the test below mutates nothing worth it."""
    assert len(SEEDS) > 60
    assert all(map(is_picture_or_refused, SEEDS))


@given(data=st.binary(max_size=300))
@example(b"GIF89a")
@example(b"BM")
@example(b"II*\x00\x08\x00\x00\x00")
@example(b"RIFF\x00\x00\x00\x00WEBPVP8 ")
def test_any_bytes_are_a_picture_or_refused(data):
    is_picture_or_refused(data)


@st.composite
def mutated(draw) -> bytes:
    """A real picture with bytes changed, removed or put in, mostly near its head."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        near_head = draw(st.booleans())
        position = draw(st.integers(0, min(len(data), 64 if near_head else len(data))))
        piece = draw(st.binary(max_size=4) | st.sampled_from([b"\xff" * 4, bytes(4)]))
        data[position : position + draw(st.integers(0, 4))] = piece
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data)


@settings(max_examples=400, deadline=None)
@given(data=mutated())
def test_a_damaged_picture_is_a_picture_or_refused(data):
    is_picture_or_refused(data)


@pytest.mark.parametrize("seed", SEEDS[::7], ids=range(len(SEEDS[::7])))
def test_a_picture_cut_anywhere_is_a_picture_or_refused(seed):
    for end in range(0, len(seed), max(1, len(seed) // 60)):
        is_picture_or_refused(seed[:end])
