"""What may be given as a picture, and what comes of it."""

import io

import numpy as np
import pytest
from PIL import Image

from app.client.pictures import LOSSLESS_PIXELS, taken
from app.errors import ImageUnreadable
from tests.pictures import encoded, photograph


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_a_file_is_remembered(tmp_path):
    """To be shown when somebody looks."""
    (tmp_path / "a.jpg").write_bytes(b"bytes")

    picture = taken(str(tmp_path / "a.jpg"))

    assert (picture.content, picture.path) == (b"bytes", tmp_path / "a.jpg")


def test_a_url_stays_one():
    assert taken("HTTPS://example.org/rose.jpg").content == "HTTPS://example.org/rose.jpg"


def test_an_open_file_is_read_from_where_it_stands():
    file = io.BytesIO(b"head and picture")
    file.seek(9)

    assert taken(file).content == b"picture"


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3), (4, 6, 4)])
def test_pixels_stay_as_they_are(shape):
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)

    found = np.asarray(opened(taken(pixels).content))

    assert (found == pixels.reshape(found.shape)).all()


def test_floats_are_from_0_to_1():
    pixels = np.array([[0.0, 0.5, 1.0]], dtype=np.float32)

    assert np.asarray(opened(taken(pixels).content)).tolist() == [[0, 128, 255]]


def test_views_are_taken():
    pixels = np.asarray(photograph())[::2, ::-1]

    assert (np.asarray(opened(taken(pixels).content)) == pixels).all()


@pytest.mark.parametrize(
    ("pixels", "told"),
    [
        (np.zeros((3, 8, 8), np.uint8), r"\(3, 8, 8\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), "shape"),
        (np.zeros((0, 4), np.uint8), "shape"),
        (np.zeros(4, np.uint8), "shape"),
        (np.full((2, 2), 255.0), "from 0 to 1"),
        (np.full((2, 2), np.nan), "from 0 to 1"),
        (np.zeros((2, 2), np.int64), "int64"),
    ],
)
def test_an_array_that_is_no_picture_says_why(pixels, told):
    with pytest.raises(ImageUnreadable, match=told):
        taken(pixels)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_every_kind_of_pillow_image_is_taken(mode):
    assert opened(taken(photograph().convert(mode)).content).size == (320, 240)


def test_a_pillow_image_is_set_upright():
    """As its file would be."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image = opened(encoded(photograph(), "JPEG", exif=exif))

    assert opened(taken(image).content).size == (240, 320)


def test_a_pillow_image_of_a_broken_file_is_said_to_be_one():
    image = opened(encoded(photograph(), "JPEG")[:3_000])

    with pytest.raises(ImageUnreadable):
        taken(image)


def test_a_large_one_becomes_a_jpeg():
    """Or it would be too large to be sent."""
    side = int(LOSSLESS_PIXELS**0.5) + 1

    assert opened(taken(photograph(side, side)).content).format == "JPEG"
    assert opened(taken(photograph(side - 2, side - 2)).content).format == "PNG"


@pytest.mark.parametrize("value", [None, 7, [1, 2], io.StringIO("text")])
def test_what_is_no_picture_is_a_type_error(value):
    with pytest.raises(TypeError):
        taken(value)
