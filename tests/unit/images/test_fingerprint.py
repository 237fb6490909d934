"""Near duplicates have near hashes, others have not."""

import io
from itertools import combinations

import pytest
from PIL import Image, ImageEnhance

from app.images.fingerprint import difference_hash
from tests.conftest import PHOTOGRAPHS
from tests.pictures import encoded

PICTURES = {path.name: Image.open(path).convert("RGB") for path in PHOTOGRAPHS.glob("*.jpg")}


def distance(one: int, other: int) -> int:
    """Bits in which they differ."""
    return (one ^ other).bit_count()


def recompressed(picture: Image.Image) -> Image.Image:
    return Image.open(io.BytesIO(encoded(picture, "JPEG", quality=50)))


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize(
    "change",
    [
        lambda picture: picture.resize((picture.width // 2, picture.height // 2)),
        recompressed,
        lambda picture: ImageEnhance.Brightness(picture).enhance(1.1),
        lambda picture: picture.convert("L"),
    ],
    ids=["halved", "recompressed", "brighter", "grey"],
)
def test_a_small_change_moves_few_bits(name, change):
    one = PICTURES[name]

    assert distance(difference_hash(one), difference_hash(change(one))) <= 4


def test_other_pictures_are_far_away():
    hashes = [difference_hash(picture) for picture in PICTURES.values()]

    assert len(hashes) > 2
    assert all(0 <= each < 1 << 64 for each in hashes)
    assert min(distance(*pair) for pair in combinations(hashes, 2)) > 10
