"""What a picture takes of a prompt, where a formula says so and where it has to be learned."""

import pytest
from PIL import Image

from app.images import prepare
from app.providers.image_tokens import FIRST_GUESS, ImageTokenCounter, ImageTokens
from app.providers.profiles import UNKNOWN_FAMILY, ModelTable
from app.yaml_file import config_dir
from tests.pictures import encoded


def picture(width: int, height: int):
    return prepare(encoded(Image.new("RGB", (width, height))), longest=512)


@pytest.fixture
def gpt_4o():
    return ModelTable.read(config_dir() / "models.yaml").family("gpt-4o")


def test_a_published_formula_is_exact_whatever_was_learned(gpt_4o):
    counter = ImageTokenCounter()
    counter.learn(5_000, picture(512, 512))

    assert counter.count(gpt_4o, picture(512, 512), "low") == ImageTokens(85, estimated=False)
    assert counter.count(gpt_4o, picture(512, 512), "high") == ImageTokens(255, estimated=False)


def test_without_one_the_first_guess_is_high():
    counter = ImageTokenCounter()

    guessed = counter.count(UNKNOWN_FAMILY, picture(512, 512), "low")

    assert guessed == ImageTokens(FIRST_GUESS, estimated=True)


def test_then_it_is_learned_by_area():
    """256 patches took 512 tokens: a quarter of the area takes a quarter."""
    counter = ImageTokenCounter()
    counter.learn(512, picture(512, 512))

    assert counter.count(UNKNOWN_FAMILY, picture(512, 512), "low").count == 512
    assert counter.count(UNKNOWN_FAMILY, picture(256, 256), "low").count == 128


def test_newer_answers_move_what_was_learned():
    """A model may be replaced; one odd answer does not turn all round."""
    counter = ImageTokenCounter()
    for tokens, times in ((512, 1), (5_120, 1)):
        for _ in range(times):
            counter.learn(tokens, picture(512, 512))
    once = counter.count(UNKNOWN_FAMILY, picture(512, 512), "low").count
    for _ in range(40):
        counter.learn(5_120, picture(512, 512))

    assert 512 < once < 2_000
    assert counter.count(UNKNOWN_FAMILY, picture(512, 512), "low").count == pytest.approx(
        5120, 0.01
    )


def test_less_than_nothing_is_not_learned():
    """An estimate of the text may be too high."""
    counter = ImageTokenCounter()
    counter.learn(-50, picture(512, 512))

    assert counter.count(UNKNOWN_FAMILY, picture(512, 512), "low").count == FIRST_GUESS
