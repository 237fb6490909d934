"""The square is the centre of the picture, however it is shaped."""

import numpy as np
import pytest
from PIL import Image

from app.square import square


@pytest.mark.parametrize("size", [(400, 200), (200, 400), (224, 224), (50, 60), (1, 1)])
def test_the_square_has_the_side_asked_for(size):
    """Small pictures grow, large ones shrink; the mode stays."""
    made = square(Image.new("RGB", size, (9, 8, 7)), 224, 0.875)

    assert made.size == (224, 224)
    assert made.mode == "RGB"
    assert made.getpixel((0, 0)) == (9, 8, 7)


def test_the_square_is_cut_from_the_centre():
    """Of 400 x 200 with the whole short side kept, 100 columns go on either side."""
    columns = np.repeat(np.arange(400)[None] // 2, 200, axis=0).astype(np.uint8)

    made = np.asarray(square(Image.fromarray(columns), 200, 1.0))

    assert np.array_equal(made, columns[:, 100:300])


def test_the_crop_is_a_share_of_the_short_side():
    """Half of 200 pixels: the middle 100."""
    columns = np.repeat(np.arange(400)[None] // 2, 200, axis=0).astype(np.uint8)

    made = np.asarray(square(Image.fromarray(columns), 100, 0.5))

    assert np.array_equal(made, columns[50:150, 150:250])
