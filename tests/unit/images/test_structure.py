"""Files in more pieces than a picture has are refused before a decoder goes through them."""

import struct
import time
import zlib

import pytest
from PIL import Image

from app.errors import ImageTooLarge, ImageUnreadable
from app.images import prepare
from app.images.structure import count_scans
from tests.pictures import encoded, jpeg, photograph

JPEG = jpeg()
PNG = encoded(photograph(64, 64))
GIF = encoded(photograph(64, 64), "GIF")
GIF_BLOCKS = 13 + 3 * (2 << (GIF[10] & 7))
"""Where they begin, behind the table of colours."""


def segment(marker: int, payload: bytes = b"") -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def in_jpeg(what: bytes) -> bytes:
    return JPEG[:2] + what + JPEG[2:]


def in_png(what: bytes) -> bytes:
    return PNG[:33] + what + PNG[33:]


def in_gif(what: bytes) -> bytes:
    return GIF[:GIF_BLOCKS] + what + GIF[GIF_BLOCKS:]


def with_scans(count: int, between: bytes = b"") -> bytes:
    """A progressive picture whose last scan comes again and again."""
    data = encoded(Image.new("L", (2000, 2000)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + between + data[last:-2] * count + data[-2:]


@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_baseline_jpeg_has_one_scan_and_a_progressive_one_several(subsampling):
    assert count_scans(jpeg(subsampling=subsampling)) == 1
    assert 5 < count_scans(jpeg(subsampling=subsampling, progressive=True)) < 20


def test_scans_of_a_thumbnail_and_of_a_second_picture_do_not_count():
    """EXIF may hold a whole JPEG, and an MPO has another one behind the first."""
    exif = Image.Exif()
    exif[0x010F] = jpeg(160, 120).decode("latin-1")
    double = encoded(photograph(), "MPO", save_all=True, append_images=[photograph(seed=2)])

    assert count_scans(jpeg(exif=exif)) == 1
    assert count_scans(double) == 1


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(in_jpeg(segment(0xEF) * 2_000_000), id="JPEG segments"),
        pytest.param(in_jpeg(b"\xff" * 8_000_000), id="JPEG fill bytes"),
        pytest.param(in_jpeg(b"junk" * 2_000_000), id="JPEG junk"),
        pytest.param(in_png(chunk(b"tEXt", b"a\0b") * 500_000), id="PNG texts"),
        pytest.param(in_png(chunk(b"prIv") * 500_000), id="PNG chunks"),
        pytest.param(in_gif(b"\x21\xfe" + b"\x01a" * 4_000_000 + b"\0"), id="GIF blocks"),
        pytest.param(in_gif(b"\x21\xfe\x01a\0" * 1_600_000), id="GIF comments"),
        pytest.param(in_gif(b"j" * 8_000_000), id="GIF junk"),
        pytest.param(with_scans(20_000), id="JPEG scans"),
        pytest.param(b"\xff\xd8" + b"\xff" * 20_000_000, id="JPEG of nothing"),
    ],
)
def test_millions_of_pieces_are_refused_at_once(bomb):
    """Pillow would take seconds, and up to 700 MB."""
    began = time.process_time()

    with pytest.raises(ImageUnreadable):
        prepare(bomb, longest=512)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    "between", [b"", segment(0xFE, b"\xff\xd9"), b"\0\0", segment(0xEF, b"\xff\xda" * 9)]
)
def test_scans_do_not_hide(between):
    """Behind an end that stands in a comment, nor behind junk; each costs a pass over all."""
    assert count_scans(with_scans(400, between)) >= 400
    with pytest.raises(ImageTooLarge, match="scans"):
        prepare(with_scans(400, between), longest=512)


@pytest.mark.parametrize(
    "data",
    [
        in_jpeg(segment(0xE2, b"x" * 60_000) * 30),
        in_png(chunk(b"tEXt", b"Author\0somebody") * 500),
        in_gif(b"\x21\xfe" + b"\xff" + b"a" * 255 + b"\0"),
    ],
    ids=["JPEG", "PNG", "GIF"],
)
def test_much_metadata_is_no_bomb(data):
    assert prepare(data, longest=512).warnings == ()


@pytest.mark.parametrize("data", [b"", b"text" * 9, b"II*\0", b"BM", b"RIFF\0\0\0\0WEBP"])
def test_what_is_no_jpeg_has_no_scans(data):
    assert count_scans(data) is None


@pytest.mark.parametrize("rest", [b"", b"\xff", b"\xff\xfe", b"\xff\xd9"])
def test_a_jpeg_without_a_scan_is_no_picture(rest):
    with pytest.raises(ImageUnreadable):
        count_scans(b"\xff\xd8" + rest)
