"""Two runs over the same pictures."""

import pytest

from app.evaluation import outcomes, report
from app.evaluation.comparison import compared
from tests.unit.evaluation.answers import judged


def picture(number, *, right):
    answer = "cat" if right else "dog"
    return judged("cat", answer, name=f"{number}.jpg", sha256=f"{number:064x}")


def run(*right):
    return [picture(number, right=each) for number, each in enumerate(right)]


def test_what_became_better_and_what_worse():
    earlier = outcomes(run(True, True, False, False, True))

    found = compared(run(True, False, True, True, True), "monday", earlier)

    assert (found.n, found.better, found.worse) == (5, 2, 1)
    assert (found.earlier_accuracy, found.accuracy) == (0.6, 0.8)
    assert found.difference == pytest.approx(0.2)
    assert found.p_value == 1
    assert [each.name for each in found.only_now_right] == ["2.jpg", "3.jpg"]
    assert [(each.name, each.predicted) for each in found.only_earlier_right] == [("1.jpg", "dog")]


def test_only_pictures_in_both_count():
    earlier = outcomes(run(True, True, True))
    now = [*run(False, True), picture(9, right=False)]

    found = compared(now, "monday", earlier)

    assert (found.n, found.better, found.worse) == (2, 0, 1)


def test_a_picture_without_a_digest_is_known_by_its_name():
    one = judged("cat", "cat", name="a.jpg", sha256=None)
    other = judged("cat", "dog", name="a.jpg", sha256=None)

    assert compared([other], "monday", outcomes([one])).worse == 1


def test_a_picture_that_came_twice_counts_once():
    """By its first answer, which of stored ones is the newest."""
    twice = [picture(1, right=True), picture(1, right=False)]

    assert outcomes(twice) == {f"{1:064x}": True}
    assert compared(twice, "monday", {f"{1:064x}": False}).better == 1


def test_runs_without_a_picture_in_common():
    found = compared([picture(1, right=True)], "monday", {"other": True})

    assert found.n == 0
    assert (found.accuracy, found.difference, found.interval, found.p_value) == (None,) * 4


def test_pictures_of_none_of_the_classes_are_left_out():
    """As they are of the accuracy."""
    stranger = judged("none", "cat", name="s.jpg")

    found = report([*run(True), stranger], ("cat", "dog"), 0.7, earlier=("monday", {"s.jpg": True}))

    assert found.comparison.n == 0


def test_what_differs_is_named_up_to_a_bound():
    earlier = outcomes(run(*[False] * 60))

    found = compared(run(*[True] * 60), "monday", earlier)

    assert found.better == 60
    assert len(found.only_now_right) == 50
