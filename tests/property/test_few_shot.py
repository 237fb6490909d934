"""Which examples are shown, whatever there is to choose from."""

from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.classification.showing import Shelf
from app.domains import Domain
from app.storage import ExampleRow

LABELS = ("a", "b", "c", "none", "gone")
"""`none` may be answered in some domains, `gone` in none."""
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def row(place: int, label: str) -> ExampleRow:
    return ExampleRow(
        *(f"exm_{place}", "letters", label, f"{place:064x}", f"{place:064x}"),
        *(b"", "model", "given", None, "me", NOW),
    )


@st.composite
def shelves(draw):
    labels = draw(st.lists(st.sampled_from(LABELS), min_size=1, max_size=30))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    directions = random.normal(size=(len(labels) + 1, 8)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    rows = [row(place, label) for place, label in enumerate(labels)]
    domain = Domain(
        name="letters",
        classes=("a", "b", "c"),
        few_shot=draw(st.integers(1, 8)),
        allow_none=draw(st.booleans()),
    )
    but = rows[draw(st.integers(0, len(rows) - 1))].sha256
    return Shelf("les_1", rows, directions[:-1]), directions[-1], domain, but


@given(shelves())
def test_of_each_class_as_many_as_of_any_other_as_far_as_there_are_the_most_alike_last(given):
    shelf, direction, domain, but = given
    offered = {"a", "b", "c"} | ({"none"} if domain.allow_none else set())
    usable = [each for each in shelf.rows if each.sha256 != but and each.label in offered]

    chosen = shelf.like(direction, domain, but=but)

    assert len(chosen) == min(domain.few_shot, len(usable))
    assert all(each in usable for each in chosen)
    assert len({each.id for each in chosen}) == len(chosen)
    near = {each.id: float(shelf.directions[int(each.id[4:])] @ direction) for each in usable}
    likeness = [near[each.id] for each in chosen]
    assert likeness == sorted(likeness)
    counts = {label: sum(each.label == label for each in chosen) for label in offered}
    for label, count in counts.items():
        mine = sorted((near[each.id] for each in usable if each.label == label), reverse=True)
        taken = sorted((near[each.id] for each in chosen if each.label == label), reverse=True)
        assert taken == mine[:count]  # the nearest of it
        if count < len(mine):  # it could have been shown more often
            assert count >= max(counts.values()) - 1
