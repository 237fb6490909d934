"""Labels that people give by the rule of the queue, all of what is unsure and a share of what is
accepted, say of all answers what labels of all of them would."""

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from random import Random

import pytest

from app.calibration.calibration import for_sets
from app.calibration.fitting import error_of, fit
from app.calibration.labelled import Labelled, effective, read_labelled
from app.calibration.threshold import threshold_for
from app.result import NONE
from app.storage import CalibrationKey, LabelledAnswer
from tests.labelled import MIDDLING, drawn

KEY = CalibrationKey("flowers", "1", "fake", "fake-1", "stated", "1")
FROM, SHARE = 0.8, 0.05
"""What is accepted, and of it is drawn."""

POPULATION, DRAWS = 4_000, 30
ASKED = 0.82
"""More is reached from below FROM on, so that the two kinds of labels meet."""


class Stored:
    """Labels as the repository has them."""

    def __init__(self, rows: Sequence[LabelledAnswer]) -> None:
        self._rows = rows

    async def pages(self, key, *, caller=None):
        yield list(self._rows)


def row(
    number: int, answer: Labelled, *, accepted: bool, share: float | None, told_before: bool = False
) -> LabelledAnswer:
    names = [f"c{place}" for place in range(len(answer.said) - 1)]
    true = NONE if answer.true is None else names[answer.true]
    said = dict(zip(names, answer.said, strict=False))
    return LabelledAnswer(
        true, names[answer.answer], said, str(number), accepted, share, told_before
    )


def reviewed(seed: int) -> list[Labelled]:
    """Of a population of its own."""
    random = Random(seed)
    rows = []
    for number, each in enumerate(drawn(POPULATION, seed=seed, concentration=MIDDLING)):
        accepted = each.confidence >= FROM
        if not accepted:
            rows.append(row(number, each, accepted=False, share=None))
        elif random.random() < SHARE:
            rows.append(row(number, each, accepted=True, share=SHARE))
    return asyncio.run(read_labelled(Stored(rows), KEY))


@cache
def draws() -> list[list[Labelled]]:
    return [reviewed(seed) for seed in range(DRAWS)]


@cache
def fresh() -> list[Labelled]:
    return drawn(20_000, seed=10**6, concentration=MIDDLING)


def as_they_came(labelled: Sequence[Labelled]) -> list[Labelled]:
    return [replace(each, weight=1.0) for each in labelled]


def accuracy_from(threshold: float) -> float:
    return statistics.mean(each.is_right for each in fresh() if each.confidence >= threshold)


def share_from(threshold: float) -> float:
    return statistics.mean(each.confidence >= threshold for each in fresh())


def coverage(labelled: Sequence[Labelled], wanted: float) -> float:
    """Of sets for fresh answers."""
    fitted = fit(labelled).fitted
    most = fitted.rank(wanted)
    told = (1 - for_sets(each.said, fitted)[each.true] for each in fresh()[:2_000])
    return statistics.mean(each <= most for each in told)


def test_a_label_stands_for_those_of_whom_it_was_drawn():
    labelled = draws()[0]
    weights = sorted({each.weight for each in labelled})

    assert weights == [1, pytest.approx(1 / SHARE)]
    assert sum(each.weight for each in labelled) == pytest.approx(POPULATION, rel=0.2)
    assert effective(labelled) < len(labelled) / 2


def test_labels_from_elsewhere_share_the_weight():
    """Else a few drawn ones would outweigh a thousand others, and nothing could be said any
    more."""
    answers = drawn(1_010, seed=0, concentration=MIDDLING)
    rows = [
        row(
            number,
            each,
            accepted=True,
            share=0.02 if number < 10 else None,
            told_before=number >= 10,
        )
        for number, each in enumerate(answers)
    ]

    labelled = asyncio.run(read_labelled(Stored(rows), KEY))

    assert labelled[0].weight == pytest.approx((10 / 0.02 + 1_000) / 1_010)
    assert effective(labelled) == pytest.approx(1_010)


def test_what_is_told_later_is_of_those_that_the_drawn_ones_stand_for():
    answers = drawn(1_500, seed=0, concentration=MIDDLING)
    rows = [
        row(number, each, accepted=number < 1_000, share=0.02 if number < 20 else None)
        for number, each in enumerate(answers)
    ]

    labelled = asyncio.run(read_labelled(Stored(rows), KEY))

    accepted = sum(each.weight for each in labelled[:1_000])
    assert accepted == pytest.approx(1_000)
    assert sum(each.weight for each in labelled) == pytest.approx(1_500)


def test_a_threshold_is_that_of_all_answers():
    """In the mean of the draws it reaches what was asked, the truth lies in the interval as often
    as that says, and so many are accepted as it tells. Taken as they came the labels would ask for
    too much, and tell of far fewer."""
    found = [threshold_for(each, ASKED) for each in draws()]
    plain = [threshold_for(as_they_came(each), ASKED) for each in draws()]
    reached = [accuracy_from(each.threshold) for each in found]
    inside = [
        low <= accuracy_from(each.threshold) <= high
        for each in found
        for low, high in (each.interval,)
    ]
    off = [each.share_accepted - share_from(each.threshold) for each in found]
    plain_off = [each.share_accepted - share_from(each.threshold) for each in plain]

    assert statistics.mean(reached) == pytest.approx(ASKED, abs=0.01)
    assert sum(inside) >= 0.9 * DRAWS
    assert statistics.mean(off) == pytest.approx(0, abs=0.02)
    assert statistics.mean(accuracy_from(each.threshold) for each in plain) > ASKED + 0.03
    assert statistics.mean(plain_off) < -0.5


def test_sets_keep_their_coverage():
    found = statistics.mean(coverage(each, 0.9) for each in draws())
    plain = statistics.mean(coverage(as_they_came(each), 0.9) for each in draws())

    assert found == pytest.approx(0.9, abs=0.01)
    assert plain < 0.89


def test_the_error_told_is_that_of_all_answers():
    found = statistics.mean(error_of(each) for each in draws())
    plain = statistics.mean(error_of(as_they_came(each)) for each in draws())

    assert found == pytest.approx(error_of(fresh()), abs=0.005)
    assert plain > error_of(fresh()) + 0.008
