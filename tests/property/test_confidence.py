"""Probabilities as the service reads them, beside those that the model truly has."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.classification.orders import shuffled
from tests.seeing import classes, images, seeing, shares

EXAMPLES = 120


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def eyes(runner):
    """Simulated models that live as long as these tests."""
    living = {}

    def see(**behaviour):
        key = tuple(sorted(behaviour.items()))
        if key not in living:
            living[key] = seeing(**behaviour)
            living[key] = (living[key], runner.run(living[key].__aenter__()))
        return living[key][1]

    yield see
    for manager, _ in living.values():
        runner.run(manager.__aexit__(None, None, None))


many = st.integers(2, 20)
pictures = st.integers(0, 10_000).map(lambda number: next(images(1, number)))


@settings(max_examples=EXAMPLES, deadline=None)
@given(many, pictures, st.booleans(), st.sampled_from([1, 2]), st.sampled_from([0.3, 0.6, 0.9]))
def test_the_distribution_is_recovered(runner, eyes, count, image, none, orders, accuracy):
    """Within 0.01 for 2 to 20 choices, all of which the model tells, in one order or in two."""
    model = eyes(accuracy=accuracy)
    domain = classes(max(2, count - none), allow_none=none, orders=orders)

    answer = runner.run(model.ask(image, domain))

    assert answer.tail == 0
    assert shares(answer, domain) == pytest.approx(model.truth(image, domain), abs=0.01)


@settings(max_examples=EXAMPLES, deadline=None)
@given(many, pictures, st.booleans(), st.sampled_from([0.3, 0.6, 0.9]))
def test_what_is_cut_off_is_within_the_tail(runner, eyes, count, image, none, accuracy):
    """Of at most five that are told, however many were asked for. That the tail holds for two
    orders, too, tests/unit/classification/test_pooling.py says."""
    model = eyes(accuracy=accuracy, top_logprobs=5)
    domain = classes(count, allow_none=none)

    answer = runner.run(model.ask(image, domain))

    assert (answer.tail > 0) == (count + none > 5)
    found, true = shares(answer, domain), model.truth(image, domain)
    assert found == pytest.approx(true, abs=answer.tail + 0.001)


async def bias(model, domain, number, order=None):
    """By how much each label is preferred on average over so many pictures, at most."""
    off = dict.fromkeys(domain.labels, 0.0)
    for image in images(number):
        if order is None:
            answer = await model.ask(image, domain)
        else:
            answer = await model.provider.classify(image, domain, timeout=9, code_order=order)
        true = model.truth(image, domain)
        for label in off:
            off[label] += (answer.probabilities[label] - true[label]) / number
    return max(map(abs, off.values()))


def test_no_label_profits_from_its_place_over_many_pictures(runner, eyes):
    """A tenth of the probability goes to what is offered first: without an order of each picture's
    own one class gets most of it, with one each gets as much."""
    model, domain = eyes(accuracy=0.6, position_bias=0.1), classes(4)

    assert runner.run(bias(model, domain, 240)) < 0.02
    assert runner.run(bias(model, domain, 240, order=(0, 1, 2, 3))) > 0.06


def test_two_orders_bring_single_pictures_nearer(runner, eyes):
    """To what the model thinks: by a quarter at least, on average over classes and pictures."""

    async def off(orders):
        domain, total = classes(4, orders=orders), 0.0
        for image in images(60):
            found = shares(await model.ask(image, domain), domain)
            true = model.truth(image, domain)
            total += sum(abs(found[each] - true[each]) for each in true) / len(true) / 60
        return total

    model = eyes(accuracy=0.6, position_bias=0.1)

    assert runner.run(off(2)) < 0.75 * runner.run(off(1))


def test_the_orders_of_pictures_are_balanced():
    """What the mean bias stands on."""
    domain = classes(4)
    first = [shuffled(image.sha256, domain)[0] for image in images(400)]

    assert all(70 < first.count(place) < 130 for place in range(4))
