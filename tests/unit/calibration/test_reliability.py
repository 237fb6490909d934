import numpy as np
import pytest

from app.calibration import calibration_error, reliability


def test_bins_are_of_equal_width_and_closed_above():
    found = reliability([0.0, 1 / 15, 0.0667, 1.0], [False, True, True, True])

    assert [(round(each.low * 15), each.n) for each in found] == [(0, 2), (1, 1), (14, 1)]
    assert found[0].accuracy == 0.5
    assert found[-1].high == 1.0


def test_the_error_is_the_gap_weighed_by_answers():
    found = reliability(
        [0.9] * 10 + [0.5] * 30, [True] * 7 + [False] * 3 + [True] * 15 + [False] * 15
    )

    assert calibration_error(found) == pytest.approx(0.25 * 0.2)
    assert calibration_error([]) == 0


def test_who_is_right_as_often_as_they_say_has_little_of_it():
    random = np.random.default_rng(1)
    said = random.uniform(0.3, 1, 20_000)

    assert calibration_error(reliability(said, random.uniform(size=20_000) < said)) < 0.015
