"""Codes for classes, and the distribution that a model's tokens carry."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers.codes import Token, codes, read_distribution

SHARES = {"A": 0.05, "B": 0.9, "C": 0.03, "D": 0.02}


def certain(text):
    return Token(text.encode(), [(text.encode(), 0.0)])


def choice(prefix, shares, suffix, chosen="B"):
    """A token that holds the code between `prefix` and `suffix`."""
    text = f"{prefix}{chosen}{suffix}".encode()
    return Token(
        text,
        [(f"{prefix}{code}{suffix}".encode(), math.log(p)) for code, p in shares.items()],
    )


@pytest.mark.parametrize(
    "tokens",
    [
        [certain('{"'), certain("label"), certain('":"'), choice("", SHARES, ""), certain('"}')],
        [certain('{"label": '), choice('"', SHARES, ""), certain('"}')],
        [certain('{"label":"'), choice("", SHARES, '"}')],
        [certain('{ "label" : "'), choice("", SHARES, '"'), certain(" }")],
        [choice('{"label":"', SHARES, '"}')],
        [certain('{"confidence":3,'), certain('"label":"'), choice("", SHARES, '"}')],
    ],
)
def test_the_distribution_is_found_however_the_text_is_cut_into_tokens(tokens):
    """Quotes and braces may be one token with the code."""
    found = read_distribution(tokens, list(SHARES), field="label")

    assert found.probabilities == pytest.approx(SHARES, abs=1e-5)
    assert found.coverage == pytest.approx(1.0)


def test_spellings_of_one_code_are_summed():
    """`B` and `B"` mean the same class."""
    shares = [(b"B", math.log(0.5)), (b'B"', math.log(0.4)), (b"A", math.log(0.1))]
    tokens = [certain('{"label":"'), Token(b"B", shares), certain('"}')]

    found = read_distribution(tokens, ["A", "B"], field="label")

    assert found.probabilities == pytest.approx({"A": 0.1, "B": 0.9}, abs=1e-5)


def test_what_is_on_no_code_lowers_the_coverage_only():
    """Servers that report before their grammar give mass to what could not be said."""
    shares = [(b"B", math.log(0.6)), (b"A", math.log(0.2)), (b"rose", math.log(0.2))]
    tokens = [certain('{"label":"'), Token(b"B", shares), certain('"}')]

    found = read_distribution(tokens, ["A", "B"], field="label")

    assert found.probabilities == pytest.approx({"A": 0.25, "B": 0.75}, abs=1e-5)
    assert found.coverage == pytest.approx(0.8)


def test_no_place_or_no_code_is_no_distribution():
    """None, never a guess."""
    assert read_distribution([certain("rose")], ["A", "B"], field="label") is None
    assert read_distribution([certain('{"label":"rose"}')], ["A", "B"], field="label") is None
    assert read_distribution([], ["A", "B"], field="label") is None


def test_a_tokenizer_that_cuts_codes_into_pieces_tells_no_distribution():
    """The first digit of `042` is that of a hundred others: better none than a wrong one."""
    shares = [(b"0", math.log(0.98)), (b"1", math.log(0.01))]
    tokens = [certain('{"label":"'), Token(b"0", shares), certain("4"), certain('2"}')]

    assert read_distribution(tokens, codes(100), field="label") is None


@given(st.integers(2, 500))
def test_codes_are_distinct_and_none_begins_another(count):
    """Else the first token would not tell them apart."""
    made = codes(count)

    assert len(set(made)) == count
    assert len({len(code) for code in made}) == 1


@given(
    st.integers(2, 26).flatmap(
        lambda n: st.lists(st.floats(1e-9, 1.0), min_size=n, max_size=n).map(
            lambda raw: [x / sum(raw) for x in raw]
        )
    ),
    st.integers(1, 26),
)
def test_a_cut_off_tail_is_bounded(shares, shown):
    """Shown or not: sums to 1, none is 0, and what is hidden is at most what is least shown."""
    names = codes(len(shares))
    best = sorted(zip(names, shares, strict=True), key=lambda item: -item[1])[:shown]
    tokens = [certain('{"label":"'), choice("", dict(best), "", chosen=best[0][0]), certain('"}')]

    found = read_distribution(tokens, names, field="label")

    assert sum(found.probabilities.values()) == pytest.approx(1.0)
    assert all(p > 0 for p in found.probabilities.values())
    least = min(found.probabilities[name] for name, _ in best)
    hidden = [p for name, p in found.probabilities.items() if name not in dict(best)]
    assert all(p <= max(least, 2e-6) * 1.001 for p in hidden)


def test_all_that_is_told_leaves_no_tail():
    """Also of what is said to be impossible."""
    tokens = [certain('{"label":"'), choice("", SHARES, ""), certain('"}')]
    impossible = [(b"A", math.log(0.9)), (b"B", -9999.0)]

    assert read_distribution(tokens, list(SHARES), field="label").tail == 0
    found = read_distribution(
        [certain('{"label":"'), Token(b"A", impossible)], ["A", "B"], field="label"
    )
    assert (found.tail, found.untold) == (0, frozenset())


def test_the_tail_is_what_is_left_of_one():
    tokens = [certain('{"label":"'), choice("", {"B": 0.7, "A": 0.2}, ""), certain('"}')]

    found = read_distribution(tokens, list(SHARES), field="label")

    assert found.untold == {"C", "D"}
    assert found.tail == pytest.approx(0.1)


def test_what_may_become_several_codes_is_in_the_tail():
    """The token ends before the code, or in the middle of it: whose its probability is nobody
    tells."""
    shares = [(b'":"B', math.log(0.6)), (b'":"A', math.log(0.3)), (b'":"', math.log(0.1))]
    tokens = [certain('{"label'), Token(b'":"B', shares), certain('"}')]

    found = read_distribution(tokens, ["A", "B"], field="label")

    assert found.untold == frozenset()
    assert found.tail == pytest.approx(0.1)


@given(
    st.integers(2, 30).flatmap(lambda n: st.lists(st.floats(1e-6, 1.0), min_size=n, max_size=n)),
    st.integers(1, 20),
    st.floats(0, 0.5),
)
def test_no_code_is_off_by_more_than_the_tail(weights, shown, beside):
    """`beside` is on what is no code, where a server tells what its grammar forbids."""
    names = codes(len(weights))
    total = sum(weights)
    true = {code: weight / total for code, weight in zip(names, weights, strict=True)}
    said = {code: p * (1 - beside) for code, p in true.items()} | {"rose": beside + 1e-9}
    best = sorted(said.items(), key=lambda item: -item[1])[:shown]
    chosen = max(true, key=true.get)
    tokens = [certain('{"label":"'), choice("", dict(best), "", chosen=chosen), certain('"}')]

    found = read_distribution(tokens, names, field="label")

    if found is None:
        assert dict(best).keys() == {"rose"}
        return
    assert found.probabilities == pytest.approx(true, abs=found.tail + 1e-4)
