"""Whether a picture is as near to the examples as they are to each other."""

import numpy as np
import pytest

from app.providers.local.neighbours import Neighbours


def cluster(random, centre, count, spread=0.3):
    """Embeddings round `centre`, of any length."""
    noise = random.normal(0, spread / np.sqrt(len(centre)), (count, len(centre)))
    return (centre + noise) * random.uniform(0.5, 5, (count, 1))


@pytest.fixture
def random():
    return np.random.default_rng(7)


@pytest.fixture
def centres():
    """Three directions, at right angles."""
    return np.eye(64)[:3]


@pytest.fixture
def taught(random, centres):
    """Two classes of twenty."""
    pictures = np.concatenate([cluster(random, centre, 20) for centre in centres[:2]])
    return Neighbours.of(pictures, np.repeat([0, 1], 20))


def test_what_looks_like_the_examples_belongs_and_else_it_does_not(random, centres, taught):
    """About nine of ten, whichever class; of what nobody taught, nothing."""
    for centre in centres[:2]:
        inside = [taught.belongs(each) for each in cluster(random, centre, 200)]
        assert 0.75 < np.mean(np.array(inside) >= 0.5) < 0.99

    outside = [taught.belongs(each) for each in cluster(random, centres[2], 200)]
    assert max(outside) < 0.01


def test_at_the_bound_it_is_a_half(taught):
    """One example in ten is farther from the others."""
    direction, away = np.eye(64)[0], np.eye(64)[5]
    turns = np.linspace(0, np.pi / 2, 2_000)
    path = [np.cos(turn) * direction + np.sin(turn) * away for turn in turns]

    distances = np.array([taught.distance(each) for each in path])
    belongs = np.array([taught.belongs(each) for each in path])

    at = int(np.abs(distances - taught.bound).argmin())
    assert belongs[at] == pytest.approx(0.5, abs=0.02)
    assert ((belongs > 0.5) == (distances < taught.bound)).all()


def test_only_direction_counts(taught):
    picture = np.eye(64)[0] + 0.1

    assert taught.distance(picture) == pytest.approx(taught.distance(picture * 30))


def test_a_file_holds_them_as_they_are(taught):
    again = Neighbours.from_json(taught.to_json())

    assert np.array_equal(again.embeddings, taught.embeddings)
    assert np.array_equal(again.owners, taught.owners)
    assert again.bound == taught.bound


def test_eight_bits_keep_the_direction(random):
    """An example is at no distance from itself."""
    pictures = np.maximum(random.normal(0, 1, (2, 1280)), 0)
    taught = Neighbours.of(pictures, np.array([0, 0]))

    assert taught.distance(pictures[0]) == pytest.approx(0, abs=5e-4)


def test_of_some_labels_the_others_examples_say_nothing(random, centres, taught):
    """Asked about the first class alone, pictures of the second are strangers."""
    first = taught.only({0})

    assert first.belongs(centres[0]) > 0.5
    assert first.belongs(centres[1]) < 0.01
    assert taught.belongs(centres[1]) > 0.5


def test_two_examples_of_a_class_ask_for_one_neighbour(random, centres):
    """With three, the nearest would be of the other class, and anything would belong."""
    pictures = np.concatenate([cluster(random, centre, 2) for centre in centres[:2]])
    taught = Neighbours.of(pictures, np.repeat([0, 1], 2))

    assert taught.bound < 0.5
    assert taught.belongs(centres[0]) > 0.5
    assert taught.belongs(centres[2]) < 0.5


def test_the_same_picture_twice_is_no_neighbour_of_itself(random, centres):
    """Else the bound would shrink to nothing with every copy."""
    pictures = np.concatenate([cluster(random, centre, 20) for centre in centres[:2]])
    owners = np.repeat([0, 1], 20)
    once = Neighbours.of(pictures, owners)
    twice = Neighbours.of(np.concatenate([pictures, pictures]), np.tile(owners, 2))

    assert twice.bound == pytest.approx(once.bound)


def test_one_example_says_nothing_about_strangers(centres):
    """Nobody knows how far pictures of its kind are apart."""
    copies = Neighbours.of(np.repeat(centres[:1], 5, axis=0), np.zeros(5, np.intp))

    assert copies.belongs(centres[0]) == 1
    assert copies.belongs(centres[1]) == 1


def test_examples_nearly_alike_still_let_their_like_in(random, centres):
    """A burst of one scene: another shot of it belongs, anything else does not."""
    burst = Neighbours.of(cluster(random, centres[0], 9, spread=0.01), np.zeros(9, np.intp))

    assert burst.belongs(cluster(random, centres[0], 1, spread=0.1)[0]) > 0.5
    assert burst.belongs(centres[1]) == pytest.approx(0, abs=1e-6)
