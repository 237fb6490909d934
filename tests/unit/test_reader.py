"""Whether an output is what a page shows."""

import pytest

from tests.reader import lacking

TOLD = 'rose   12 of 1,204 right\n99.5 %  daisy\n{"cost": 0.25}\n'


@pytest.mark.parametrize(
    "shown", ["rose 12 of 1,204 right", "rose ... right\n99.5 % daisy", '{"cost": 0.25}']
)
def test_what_is_printed_is_not_missing(shown):
    assert lacking(TOLD, shown) is None


@pytest.mark.parametrize("shown", ["rose 13 of 1,204 right", "99.5 % daisy\nrose 12"])
def test_figures_and_the_order_count(shown):
    assert lacking(TOLD, shown) == shown.splitlines()[-1]


@pytest.mark.parametrize(
    "shown", ["rose 3 of 17 right", "7 % daisy\nrose 1 of 2 right", '{"cost": 1.5}']
)
def test_figures_may_differ_where_they_are_of_something_else(shown):
    assert lacking(TOLD, shown, figures=False) is None


@pytest.mark.parametrize("shown", ["rose 3 of 17 wrong", "7 % tulip", "12 tulips", '{"price": 1}'])
def test_words_may_not(shown):
    assert lacking(TOLD, shown, figures=False) == shown
