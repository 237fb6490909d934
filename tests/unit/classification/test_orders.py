"""In which order classes are offered: the picture's own, or one of few where prompts are long."""

from collections import Counter

import pytest

from app.classification.orders import FIXED, Orders, shuffled
from app.domains import Domain
from tests.unit.classification.eyes import Eyes, Model, domain, said

PICTURES = [f"{number * 7919:064x}" for number in range(400)]


def many(count: int, description: str | None = None, **fields) -> Domain:
    classes = [{"label": f"robin {n}", "description": description} for n in range(count)]
    return Domain(name="many", classes=classes, **fields)


def test_the_order_is_the_pictures_own():
    """The same whenever it is asked about, and for all orders alike over many pictures."""
    counts = Counter(shuffled(f"{number:064x}", domain()) for number in range(1_200))

    assert shuffled("ab", domain()) == shuffled("ab", domain())
    assert len(counts) == 6
    assert all(150 < count < 250 for count in counts.values())


def test_none_of_these_is_shuffled_with_the_classes():
    places = {shuffled(f"{n:x}", domain(allow_none=True)).index(3) for n in range(100)}

    assert places == {0, 1, 2, 3}


@pytest.mark.parametrize("long", [many(200), many(20, "a small bird " * 20)], ids=["many", "told"])
def test_long_prompts_begin_alike_for_many_pictures(long):
    """So that the provider's cache knows them; all are as common, and each one's reverse is there,
    so that the mean place of a class is the middle."""
    orders = Orders()
    counts = Counter(orders.of(each, long) for each in PICTURES)

    assert len(counts) == FIXED
    assert set(counts.values()) == {len(PICTURES) // FIXED}
    assert {each[::-1] for each in counts} == set(counts)


def test_short_prompts_need_not():
    orders = Orders()

    assert len({orders.of(each, many(100)) for each in PICTURES}) == len(PICTURES)


def test_votes_about_long_prompts_are_cast_in_the_same_orders():
    """All of them, before one comes again."""
    orders = Orders()
    first = {orders.of(each, many(200)) for each in PICTURES}

    assert {orders.of("ab", many(200), call) for call in range(FIXED)} == first
    assert orders.of("ab", many(200), FIXED) == orders.of("ab", many(200))


@pytest.mark.virtual_time
async def test_a_second_order_is_one_of_them_too():
    long = domain(prompt_template="Look well. " * 500 + "{classes}", orders=2)
    model = Model(said(), said())
    await Eyes(model).look(long)
    orders = Orders()

    assert set(model.orders) <= {orders.of(each, long) for each in PICTURES}
    assert model.orders[1] == model.orders[0][::-1]
