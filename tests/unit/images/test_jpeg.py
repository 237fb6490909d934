"""What a JPEG's header tells."""

import io

import pytest
from PIL import Image

from app.errors import ImageTooLarge
from app.images import prepare
from app.images.jpeg import count_scans, quality_of
from tests.pictures import encoded, jpeg, photograph


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
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"text" * 9, b"\xff\xd8\xff\xfe"]
)
def test_what_is_no_jpeg_has_no_scans(data):
    assert count_scans(data) == 0


def test_thousands_of_scans_are_refused():
    """Each goes through the whole picture: a small file would take minutes."""
    data = encoded(Image.new("L", (2000, 2000)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    bomb = data[:last] + data[last:-2] * 1_000 + data[-2:]

    with pytest.raises(ImageTooLarge, match="scans"):
        prepare(bomb, longest=512)


@pytest.mark.parametrize("quality", range(20, 100, 5))
def test_the_quality_is_the_one_it_was_written_with(quality):
    with Image.open(io.BytesIO(jpeg(quality=quality))) as file:
        assert abs(quality_of(file.quantization) - quality) <= 1


def test_the_worst_quality_is_still_low():
    with Image.open(io.BytesIO(jpeg(quality=1))) as file:
        assert 1 <= quality_of(file.quantization) < 15
    assert quality_of({}) is None
