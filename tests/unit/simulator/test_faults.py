"""Which calls meet with mishaps."""

import pytest
from pydantic import ValidationError

from app.simulator.config import Fault
from app.simulator.faults import FaultSource


def kinds(source, calls, picture=0.5):
    struck = [source.strike(lambda: picture) for _ in range(calls)]
    return [each and each.kind for each in struck]


def test_the_next_calls_in_the_order_of_their_faults():
    source = FaultSource([Fault(kind="reset", next=2), Fault(kind="error_500", next=1)], "seed")

    assert kinds(source, 5) == ["reset", "reset", "error_500", None, None]


def test_a_share_of_calls():
    """A tenth, spread by chance, the same for the same seed."""
    faults = [Fault(kind="error_500", share=0.1)]

    struck = kinds(FaultSource(faults, "seed"), 5_000)

    assert struck.count("error_500") == pytest.approx(500, rel=0.15)
    assert struck == kinds(FaultSource(faults, "seed"), 5_000)
    assert struck != kinds(FaultSource(faults, "other"), 5_000)


def test_a_picture_meets_the_same_fate_again():
    """A share of pictures is filtered, not of calls."""
    source = FaultSource([Fault(kind="content_filter", share=0.1)], "seed")

    assert kinds(source, 20, picture=0.05) == ["content_filter"] * 20
    assert kinds(source, 20, picture=0.15) == [None] * 20


@pytest.mark.parametrize("wrong", [{}, {"next": 1, "share": 0.5}, {"share": 1.5}, {"next": 0}])
def test_a_fault_says_how_far_it_goes(wrong):
    with pytest.raises(ValidationError):
        Fault(kind="reset", **wrong)
