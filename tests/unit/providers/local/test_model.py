"""The ONNX file says on every machine what it said on the one it was made on."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import numpy as np
import pytest

from app.providers.local.model import SIDE, EfficientNetLite

MODEL_SHA256 = "2121c3f23bdd97fb4b198e97b532e29e2e49099dc95435417c53446545b67007"

# Rounding differs between CPUs and releases of ONNX Runtime: with its optimisations switched off,
# these probabilities move by up to 0.012. Products cut off at 16 bits, which is what a file with
# 8-bit weights suffers on a CPU without VNNI, move them by 0.2 and more.
TOLERANCE = 0.05

ROWS, COLUMNS = np.mgrid[0:SIDE, 0:SIDE]


@pytest.fixture(scope="module")
def model():
    return EfficientNetLite()


def fill_circle(picture, row, column, radius, colour):
    picture[(ROWS - row) ** 2 + (COLUMNS - column) ** 2 < radius**2] = colour


def disc():
    """A red disc on a white ground."""
    picture = np.full((SIDE, SIDE, 3), 255, np.uint8)
    fill_circle(picture, 112, 112, 80, (200, 30, 30))
    return picture


def clock():
    """A clock at three: rim, face, twelve dots, two hands."""
    picture = np.full((SIDE, SIDE, 3), (235, 225, 200), np.uint8)
    fill_circle(picture, 112, 112, 95, (40, 30, 30))
    fill_circle(picture, 112, 112, 85, (250, 250, 245))
    for hour in np.arange(12) * np.pi / 6:
        fill_circle(picture, 112 + 70 * np.cos(hour), 112 + 70 * np.sin(hour), 6, (0, 0, 0))
    picture[60:112, 109:115] = 0
    picture[109:115, 112:150] = 0
    return picture


def rings():
    """Red and white rings round one centre."""
    picture = np.full((SIDE, SIDE, 3), 255, np.uint8)
    for radius in range(100, 0, -20):
        fill_circle(picture, 112, 112, radius, (200, 0, 0) if radius % 40 == 20 else (255,) * 3)
    return picture


def stripes():
    """Black and white bars, 8 pixels wide."""
    return ((COLUMNS // 8 % 2)[..., None] * np.array([255, 255, 255])).astype(np.uint8)


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (disc, {722: 0.570, 551: 0.086, 417: 0.052}),  # ping-pong ball, face powder, balloon
        (clock, {892: 0.502, 409: 0.471}),  # wall clock, analog clock
        (rings, {506: 0.635, 646: 0.180}),  # coil, maze
        (stripes, {789: 0.076, 753: 0.067}),  # shoji, radiator
    ],
)
def test_drawn_pictures_get_the_probabilities_they_got_when_the_file_was_made(
    model, draw, expected
):
    """Another file, a wrong channel order or a saturating CPU shows here."""
    probabilities = model.run(draw()).probabilities

    for leaf, probability in expected.items():
        assert probabilities[leaf] == pytest.approx(probability, abs=TOLERANCE)


def test_the_file_is_the_one_the_figures_are_about():
    """Whoever builds another file measures again: model card, heads, the values above."""
    served = files("app.providers.local").joinpath("data/efficientnet-lite0-int8.onnx")

    assert hashlib.sha256(served.read_bytes()).hexdigest() == MODEL_SHA256


def test_a_prediction_is_a_distribution_and_an_embedding(model):
    """1,000 probabilities that sum to 1, and 1,280 averages of ReLU6, so between 0 and 6."""
    probabilities, embedding = model.run(disc())

    assert probabilities.shape == (1000,)
    assert probabilities.dtype == np.float32
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert embedding.shape == (1280,)
    assert embedding.dtype == np.float32
    assert embedding.min() >= 0
    assert embedding.max() <= 6.1


def test_threads_share_one_model(model):
    """What runs beside a call does not change its answer."""
    pictures = [disc(), clock(), rings(), stripes()]
    alone = [model.run(picture) for picture in pictures]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(model.run, pictures * 5))

    for index, prediction in enumerate(together):
        assert np.array_equal(prediction.probabilities, alone[index % 4].probabilities)
        assert np.array_equal(prediction.embedding, alone[index % 4].embedding)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((224, 224, 4), np.uint8),
        np.zeros((3, 224, 224), np.uint8),
        np.zeros((224, 224, 3), np.float32),
    ],
    ids=["RGBA", "channels first", "floats"],
)
def test_anything_but_rgb_bytes_of_the_right_size_is_refused(model, pixels):
    """The message says what was expected."""
    with pytest.raises(ValueError, match=r"expected uint8 \(224, 224, 3\)"):
        model.run(pixels)
