"""Who answered how much of it, and what another one would have cost."""

import pytest

from app.evaluation import report
from tests.unit.evaluation.answers import judged
from tests.unit.evaluation.test_page import LABELS, text

LOCAL = {"provider": "local", "model": "small", "cost_usd": 0.0}
AZURE = {"provider": "azure_openai", "model": "gpt-4o", "cost_usd": 0.002}
CASCADE = [
    *(judged("cat", "cat", **LOCAL) for _ in range(79)),
    judged("dog", "cat", **LOCAL),
    *(judged("dog", "dog", **AZURE) for _ in range(18)),
    *(judged("dog", "cat", **AZURE) for _ in range(2)),
]


def test_each_is_told_apart():
    local, azure = report(CASCADE, LABELS, 0.7).by_provider

    assert (local.provider, local.answers, local.share) == ("local", 80, 0.8)
    assert local.accuracy == 79 / 80
    assert local.interval.low < 79 / 80 < local.interval.high
    assert local.cost_per_1000 == 0
    assert (azure.models, azure.n, azure.accuracy) == (["gpt-4o"], 20, 0.9)
    assert azure.cost_per_1000 == pytest.approx(2)


def test_what_the_dearest_would_have_cost_alone():
    found = report(CASCADE, LABELS, 0.7).instead

    assert found is not None
    assert (found.provider, found.calls_share) == ("azure_openai", 0.2)
    assert found.cost_per_1000 == pytest.approx(2)
    assert found.saved_per_1000 == pytest.approx(1.6)


@pytest.mark.parametrize(
    "answers",
    [
        [judged("cat", "cat", **AZURE)],
        [judged("cat", "cat", **LOCAL), judged("cat", "cat", **LOCAL | {"provider": "other"})],
        [judged("cat", "cat", **LOCAL), judged("cat", "cat", **AZURE | {"cost_usd": None})],
        [judged("cat", "cat", **LOCAL), judged("cat", "cat", **AZURE, cached=True)],
    ],
    ids=["one answered all", "nothing was paid", "no price is known", "none of it was asked for"],
)
def test_where_that_can_not_be_said_it_is_not(answers):
    assert report(answers, LABELS, 0.7).instead is None


def test_pictures_of_none_of_the_classes_are_answers_but_neither_right_nor_wrong():
    (one,) = report([judged("none", "none", **AZURE)], LABELS, 0.7).by_provider

    assert (one.answers, one.n, one.accuracy) == (1, 0, None)


def test_the_page_tells_it_and_how_to_learn_more():
    said = text(CASCADE)
    compared = text(CASCADE, earlier=("azure.json", {"x": True}))

    assert "azure_openai 20 20 % 90 %" in said
    assert "together 100 100 % 97 %" in said
    assert "1,000 would have cost about $2.00, not $0.40" in said
    assert "--compare" in said
    assert "--compare" not in compared
    assert "Who answered" not in text([judged("cat", "cat", **AZURE)])
