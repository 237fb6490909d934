"""How often and how surely a declared truth is told, and what the local model sees."""

import hashlib
import math
from statistics import mean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.simulator.answers import DeclaredTruth, LocalModel
from app.simulator.errors import Unacceptable
from app.simulator.pictures import Picture
from tests.conftest import PHOTOGRAPHS

LABELS = ("cat", "dog", "bird", "fish", "horse")
PICTURES = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(3_000)]
TRUTH = {picture: LABELS[number % 5] for number, picture in enumerate(PICTURES)}


def told(right, spread=1.0, seed=0, labels=LABELS):
    source = DeclaredTruth(seed, TRUTH)
    return [(TRUTH[each], source.shares(each, None, labels, right, spread)) for each in PICTURES]


def accuracy(answers):
    return mean(max(shares, key=shares.get) == true for true, shares in answers)


def calibration_error(answers, bins=10):
    """Mean distance between what is said of the top label and how often it is right."""
    tops = np.array([max(shares.values()) for _, shares in answers])
    right = np.array([max(shares, key=shares.get) == true for true, shares in answers])
    cut = np.minimum((tops * bins).astype(int), bins - 1)
    return sum(
        abs(tops[cut == each].mean() - right[cut == each].mean()) * (cut == each).mean()
        for each in set(cut)
    )


@pytest.mark.parametrize("right", [0, 0.1, 0.35, 0.8, 0.97, 1])
def test_the_share_of_right_answers_is_the_one_ordered(right):
    """Also below what guessing gets; within three standard errors."""
    error = math.sqrt(right * (1 - right) / len(PICTURES))

    assert accuracy(told(right)) == pytest.approx(right, abs=3 * error + 1e-9)


@pytest.mark.parametrize("right", [0.5, 0.8, 0.97])
def test_calibrated_answers_are_right_as_often_as_they_say(right):
    assert calibration_error(told(right)) < 0.025


def test_the_truth_is_where_it_is_said_to_be():
    """Second and later ranks, too, are true as often as is said of them."""
    answers = told(0.5)

    for rank in range(5):
        ranked = [sorted(shares.items(), key=lambda each: -each[1])[rank] for _, shares in answers]
        said = mean(share for _, share in ranked)
        right = mean(label == true for (label, _), (true, _) in zip(ranked, answers, strict=True))
        assert right == pytest.approx(said, abs=0.025)


@pytest.mark.parametrize("spread", [0.4, 2.5])
def test_a_spread_makes_answers_too_sure_or_too_unsure(spread):
    """The same answers; surer below 1, less sure above, and badly calibrated both ways."""
    plain, spread_out = told(0.8), told(0.8, spread)

    surer = mean(max(told.values()) for _, told in spread_out) - mean(
        max(told.values()) for _, told in plain
    )
    assert accuracy(plain) == accuracy(spread_out)
    assert (surer > 0.05) == (spread < 1)
    assert calibration_error(spread_out) > 0.08


def test_temperature_scaling_takes_the_spread_back():
    """What a client would fit on labelled data: logits times the spread are the calibrated ones."""
    for (_, plain), (_, spread_out) in zip(told(0.8)[:50], told(0.8, 0.5)[:50], strict=True):
        powers = {label: each**0.5 for label, each in spread_out.items()}
        total = sum(powers.values())
        assert {label: each / total for label, each in powers.items()} == pytest.approx(plain)


@settings(max_examples=200, deadline=None)
@given(
    number=st.integers(0, 10**6),
    count=st.integers(1, 30),
    right=st.floats(0, 1),
    spread=st.floats(0.1, 10),
    order=st.randoms(use_true_random=False),
)
def test_shares_are_a_distribution_that_the_order_does_not_move(
    number, count, right, spread, order
):
    """They sum to 1 for any number of classes, and stay when classes are offered otherwise."""
    labels = [f"class {each}" for each in range(count)]
    source = DeclaredTruth(1, {})
    shares = source.shares(str(number), None, labels, right, spread)
    order.shuffle(labels)

    assert sum(shares.values()) == pytest.approx(1)
    assert all(0 <= each <= 1 for each in shares.values())
    assert source.shares(str(number), None, labels, right, spread) == shares


def test_the_seed_decides():
    assert told(0.8, seed=3) == told(0.8, seed=3)
    assert told(0.8, seed=3) != told(0.8, seed=4)


def test_who_declares_what_a_picture_shows():
    """The mapping before the mark, the mark before the hash; a class that is not offered is none
    of these."""
    source = DeclaredTruth(0, {"known": "dog", "odd": "zebra"})

    def top(*args):
        shares = source.shares(*args, right=1, spread=1)
        return max(shares, key=shares.get)

    assert top("known", "cat", LABELS) == "dog"
    assert top("new", "cat", LABELS) == "cat"
    assert top("new", None, LABELS) in LABELS
    assert top("odd", None, (*LABELS, "none of these")) == "none of these"
    assert {top(str(n), None, LABELS) for n in range(60)} == set(LABELS)


def photograph(name):
    data = (PHOTOGRAPHS / name).read_bytes()
    return Picture(data, 320, 240, hashlib.sha256(data).hexdigest())


async def test_the_local_model_sees_the_rose():
    flowers = ("dandelion", "rose", "sunflower", "daisy")
    local = LocalModel()

    shares = await local.shares(photograph("rose.jpg"), flowers)
    elsewhere = await local.shares(photograph("rose.jpg"), ("car", "dog", "none of these"))
    local.close()

    assert max(shares, key=shares.get) == "rose"
    assert sum(shares.values()) == pytest.approx(1)
    assert elsewhere["none of these"] > 0.9


async def test_the_local_model_is_unsure_of_what_is_not_offered():
    """Without "none of these" nothing is probable; a class it does not know is no error."""
    local = LocalModel()

    shares = await local.shares(photograph("rose.jpg"), ("car", "dog", "quux"))
    local.close()

    assert max(shares.values()) < 0.5


async def test_a_picture_that_breaks_off_is_refused():
    whole = photograph("rose.jpg")
    local = LocalModel()

    with pytest.raises(Unacceptable, match="Invalid image data"):
        await local.shares(Picture(whole.data[:5_000], 320, 240, whole.sha256), LABELS)
    local.close()
