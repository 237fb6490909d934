"""What is called a bad picture."""

import pytest
from PIL import Image, ImageFilter

from app.images import prepare
from app.images.quality import findings
from app.settings_groups import QualitySettings
from tests.conftest import PHOTOGRAPHS
from tests.pictures import encoded, times

NAMES = sorted(path.name for path in PHOTOGRAPHS.glob("*.jpg"))


def photograph(name: str) -> Image.Image:
    with Image.open(PHOTOGRAPHS / name) as file:
        picture = file.convert("RGB")
    picture.thumbnail((640, 640))
    return picture


def kinds(picture: Image.Image, kind: str = "JPEG", quality: int = 90, **limits) -> list[str]:
    image = prepare(encoded(picture, kind, quality=quality), longest=512)
    found = findings(image.measures, QualitySettings(**limits))
    return [each.kind for each in found]


@pytest.mark.parametrize("name", NAMES)
def test_a_good_photograph_is_not_flagged(name):
    assert kinds(photograph(name)) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (lambda picture: picture.filter(ImageFilter.GaussianBlur(4)), "blurred"),
        (lambda picture: times(picture, 0.15), "too_dark"),
        (lambda picture: picture.resize((48, 36)), "too_small"),
        (lambda picture: picture.resize((600, 100)), "extreme_aspect"),
        (lambda picture: times(picture, 0.1).point(lambda level: level + 110), "low_contrast"),
        (lambda picture: times(picture, 0.01), "uniform"),
    ],
    ids=["blur", "dark", "small", "strip", "flat", "uniform"],
)
def test_what_was_spoilt_is_found(name, spoil, kind):
    assert kind in kinds(spoil(photograph(name)))


def test_an_overexposed_photograph_is_found():
    assert kinds(times(photograph("rose.jpg"), 4)) == ["too_bright"]


def test_a_thing_before_a_white_background_is_well_exposed():
    """As shops show what they sell: most of it is white, and nothing is wrong."""
    scene = Image.new("RGB", (600, 600), "white")
    scene.paste(photograph("rose.jpg").resize((300, 240)), (150, 180))

    assert "too_bright" not in kinds(scene, "PNG")


@pytest.mark.parametrize(("quality", "flagged"), [(5, True), (15, True), (30, False), (95, False)])
def test_heavy_compression_is_read_from_the_file(quality, flagged):
    assert ("heavily_compressed" in kinds(photograph("daisy.jpg"), quality=quality)) == flagged


def test_only_a_jpeg_has_a_jpeg_quality():
    assert prepare(encoded(photograph("daisy.jpg")), longest=512).measures.jpeg_quality is None


def test_where_there_is_no_light_nothing_else_is_said():
    """Its contrast and its sharpness are gone for the same reason."""
    assert kinds(Image.new("RGB", (300, 200)), "PNG") == ["uniform"]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 3000), (3000, 1), (3, 3)])
def test_the_smallest_pictures_are_measured_too(size):
    found = kinds(Image.new("RGB", size, "red"), "PNG")

    assert found[0] == "uniform"


def test_the_limits_are_the_settings():
    assert "blurred" in kinds(photograph("daisy.jpg"), min_sharpness=50)
    assert (
        kinds(
            Image.new("RGB", (10, 10)),
            "PNG",
            min_contrast=0,
            min_brightest=0,
            min_side=1,
            min_sharpness=0,
        )
        == []
    )
