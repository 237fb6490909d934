"""What a JPEG's quantisation tables tell."""

import io

import pytest
from PIL import Image

from app.images.jpeg import quality_of
from tests.pictures import jpeg


@pytest.mark.parametrize("quality", range(20, 100, 5))
def test_the_quality_is_the_one_it_was_written_with(quality):
    with Image.open(io.BytesIO(jpeg(quality=quality))) as file:
        assert abs(quality_of(file.quantization) - quality) <= 1


def test_the_worst_quality_is_still_low():
    with Image.open(io.BytesIO(jpeg(quality=1))) as file:
        assert 1 <= quality_of(file.quantization) < 15
    assert quality_of({}) is None
