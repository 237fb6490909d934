"""A noun covers the leaf labels that WordNet puts under it."""

import pytest

from app.providers.local.vocabulary import Vocabulary

DOGS = frozenset(range(151, 269))


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.load()


@pytest.mark.parametrize(
    ("noun", "leaves"),
    [
        ("tabby", {281}),
        ("beagle", {162}),
        ("dog", DOGS),
        ("cat", range(281, 288)),  # domestic cats, cougar, lynx; lions are "big cat"
        ("big cat", range(288, 294)),
        ("horse", {339}),  # zebra is another equine
        ("bird", [*range(7, 25), *range(80, 101), *range(127, 147)]),
        ("fish", [*range(7), *range(389, 398)]),
        ("phone", {487, 528, 707}),
        ("bicycle", {444, 671}),
        ("clock", {409, 530, 892}),
        ("guitar", {402, 546}),
        ("daisy", {985}),
    ],
)
def test_a_noun_covers_its_leaves(vocabulary, noun, leaves):
    """Leaf labels, their synonyms and everything above them are known."""
    assert vocabulary.leaves(noun) == frozenset(leaves)


@pytest.mark.parametrize(
    "noun",
    [
        "animal",
        "vehicle",
        "car",
        "computer",
        "cup",
        "bag",
        "shoe",
        "hat",
        "bottle",
        "chair",
        "boat",
        "airplane",
    ],
)
def test_everyday_nouns_are_known(vocabulary, noun):
    """The shipped domains need them."""
    assert vocabulary.leaves(noun)


@pytest.mark.parametrize(
    ("spelling", "noun"),
    [
        ("Egyptian_cat", "egyptian cat"),
        ("EGYPTIAN-CATS", "egyptian cat"),
        ("dogs", "dog"),
        ("wolves", "wolf"),
        ("buses", "bus"),
        ("geese", "goose"),
        ("wine  bottles", "wine bottle"),
        ("pay phone", "pay-phone"),
        ("canaries", "canary"),
    ],
)
def test_spelling_does_not_matter(vocabulary, spelling, noun):
    """Case, hyphens, underscores, spaces and plurals are set aside."""
    assert vocabulary.leaves(spelling) == vocabulary.leaves(noun)


@pytest.mark.parametrize("noun", ["rose", "sunflower", "dandelion", "invoice", "", "()", "s"])
def test_an_unknown_noun_covers_nothing(vocabulary, noun):
    """Nothing is guessed."""
    assert vocabulary.leaves(noun) == frozenset()


def test_a_noun_above_it_chooses_among_meanings(vocabulary):
    """A crane lifts; a crane (bird) wades."""
    assert vocabulary.leaves("crane") == {517}
    assert vocabulary.leaves("crane (bird)") == {134}
    assert vocabulary.leaves("Cranes (birds)") == {134}
    assert vocabulary.leaves("crane (fruit)") == frozenset()


def test_the_narrower_class_owns_a_leaf(vocabulary):
    """Beside "dog", "animal" means the other animals, in whichever order they stand."""
    for order in (["animal", "dog"], ["dog", "animal"]):
        owned = vocabulary.share_out({label: [label] for label in order})

        assert owned["dog"] == DOGS
        assert owned["animal"] == vocabulary.leaves("animal") - DOGS


def test_an_alias_takes_what_it_names_from_a_wider_class(vocabulary):
    """What counts is the narrowest name above a leaf, not the size of its class."""
    owned = vocabulary.share_out({"dog": ["dog"], "animal": ["animal", "beagle"]})

    assert 162 in owned["animal"]
    assert owned["dog"] == DOGS - {162}


def test_between_equals_the_first_class_owns_all(vocabulary):
    """So the second owns nothing, which a caller can see."""
    owned = vocabulary.share_out({"dog": ["dog"], "hound": ["domestic dog"]})

    assert owned == {"dog": DOGS, "hound": frozenset()}


def test_every_leaf_is_found_by_its_own_name(vocabulary):
    """Leaves that share a name ("crane", "maillot") are among that name's meanings."""
    assert len(vocabulary.leaf_names) == 1000
    for index, name in enumerate(vocabulary.leaf_names):
        meanings = vocabulary.senses[name.replace("-", " ").casefold()]
        assert any(index in meaning for meaning in meanings)
