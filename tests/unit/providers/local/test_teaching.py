"""A head is taught from embeddings, and knows how sure it may be."""

import numpy as np
import pytest

from app.calibration import calibration_error, reliability
from app.providers.local.head import Head
from app.providers.local.teaching import Examples, OutOfFold, cross_validated, teach
from app.result import NONE

SIZE = 96


def clusters(random, counts, spread):
    """Embeddings and labels: each label round a direction of its own."""
    pictures, labels = [], []
    for place, (label, count) in enumerate(counts.items()):
        noise = random.normal(0, spread / np.sqrt(SIZE), (count, SIZE))
        pictures.append(np.eye(SIZE)[place] + noise)
        labels += [label] * count
    return np.concatenate(pictures), labels


def taught_by(random, counts, spread=1.0):
    return teach(Examples.of(*clusters(random, counts, spread)), "model")


@pytest.fixture
def random():
    return np.random.default_rng(3)


def test_a_head_tells_apart_what_it_was_taught(random):
    """Labels in alphabetical order, whichever came first."""
    head = taught_by(random, {"sun": 12, "moon": 12, "étoile": 12}).head

    assert head.labels == ("moon", "sun", "étoile")
    assert head.model_sha256 == "model"
    for place, label in enumerate(["sun", "moon", "étoile"]):
        told = head.probabilities(np.eye(SIZE)[place])
        assert max(told, key=told.get) == label
        assert sum(told.values()) == pytest.approx(1)


def test_examples_of_none_get_what_is_missing_to_one(random):
    """Also beside labels that sort behind any mark: the row without a label is the last."""
    head = taught_by(random, {"été": 12, NONE: 12, "hiver": 12}).head

    assert head.labels == ("hiver", "été")
    assert head.weights.shape == (3, SIZE)
    assert sum(head.probabilities(np.eye(SIZE)[1]).values()) < 0.3
    assert head.probabilities(np.eye(SIZE)[0])["été"] > 0.7
    assert set(head.taught.owners) == {0, 1}


def test_confidence_is_how_often_it_is_right(random):
    """On pictures it has not seen: the share that is right, to within a few hundredths. And of the
    answers at the threshold or above, about as many are as was asked for."""
    counts = dict.fromkeys("abcd", 25)
    head = taught_by(random, counts, spread=3.0).head
    pictures, truth = clusters(random, dict.fromkeys("abcd", 500), 3.0)

    told = [head.probabilities(each) for each in pictures]
    said = np.array([max(each.values()) for each in told])
    right = np.array([max(each, key=each.get) for each in told]) == truth

    assert 0.6 < right.mean() < 0.95
    assert calibration_error(reliability(said, right)) < 0.08
    accepted = said >= head.threshold
    assert accepted.mean() > 0.2
    assert right[accepted].mean() > 0.94


def test_few_examples_that_are_all_told_right_make_no_certainty(random):
    """Four right of four is no proof of always."""
    lesson = taught_by(random, {"a": 2, "b": 2}, spread=0.1)

    told = lesson.head.probabilities(np.eye(SIZE)[0])

    assert lesson.judged.right.all()
    assert 0.6 < told["a"] < 0.97


def test_the_same_photographs_in_both_classes_are_a_coin_toss(random):
    """Whoever teaches so gets a head that says so, and no threshold."""
    pictures = np.repeat(random.normal(size=(1, SIZE)), 8, axis=0)

    lesson = teach(Examples.of(pictures, ["a", "b"] * 4), "")

    assert lesson.head.probabilities(pictures[0])["a"] == pytest.approx(0.5, abs=0.01)
    assert lesson.head.threshold is None
    assert lesson.head.taught.belongs(pictures[0]) == 1


def test_of_a_single_example_nothing_can_be_left_out(random):
    """The head works; nobody says how good it is."""
    lesson = taught_by(random, {"a": 1, "b": 3})

    assert lesson.judged is None
    assert lesson.head.threshold is None
    assert set(lesson.head.probabilities(np.ones(SIZE))) == {"a", "b"}


def test_a_single_one_of_none_is_learned_and_not_asked_about(random):
    """The classes are judged as they were."""
    lesson = taught_by(random, {"a": 8, NONE: 1, "b": 8})

    assert lesson.judged is not None
    assert lesson.head.threshold is not None
    assert {*lesson.judged.asked} == {*range(8), *range(9, 17)}
    assert lesson.judged.probabilities.shape[1] == 3
    assert lesson.head.weights.shape == (3, SIZE)


@pytest.mark.parametrize("labels", [["a", "a"], ["a", NONE], [NONE, NONE]])
def test_fewer_than_two_classes_are_refused(labels):
    with pytest.raises(ValueError, match="two classes"):
        Examples.of(np.ones((2, SIZE)), labels)


def test_an_embedding_of_nothing_is_refused():
    with pytest.raises(ValueError, match="zero"):
        Examples.of(np.array([[1.0, 0], [0, 0]]), ["a", "b"])


def test_the_same_examples_teach_the_same(random):
    examples = Examples.of(*clusters(random, {"a": 9, "b": 9}, 1.0))

    first, second = (teach(examples, "").head for _ in range(2))

    assert np.array_equal(first.weights, second.weights)
    assert first.threshold == second.threshold


def test_a_head_is_read_as_it_was_saved(random, tmp_path):
    """Examples and threshold, too; weights to five digits."""
    head = taught_by(random, {"a": 9, "b": 9, NONE: 9}).head
    path = tmp_path / "head.json"

    head.save(path, {"attribution": "nobody"})
    again = Head.load(path)

    assert again.labels == head.labels
    assert again.threshold == head.threshold
    assert again.taught.bound == head.taught.bound
    assert again.weights == pytest.approx(head.weights, rel=1e-4)


def out_of_fold(answers):
    """Of two labels the first is said with that confidence, and is right or not."""
    said = np.array([confidence for confidence, _ in answers])
    truth = np.array([0 if right else 1 for _, right in answers])
    return OutOfFold(np.stack([said, 1 - said], axis=1), truth, 2, np.arange(len(truth)))


def test_the_threshold_is_the_least_that_keeps_the_promise():
    """A wrong answer among the surest does not end the search; equals are taken together."""
    judged = out_of_fold([(0.9, True), (0.8, False), (0.7, True), (0.7, True), (0.6, False)])

    assert judged.threshold(0.75) == 0.7
    assert judged.threshold(0.6) == 0.6
    assert judged.threshold(1) == 0.9
    assert out_of_fold([(0.9, True), (0.7, True), (0.7, False)]).threshold(0.9) == 0.9


def test_no_threshold_keeps_a_promise_that_the_surest_answer_breaks():
    assert out_of_fold([(0.9, False), (0.8, True)]).threshold(0.9) is None


def test_an_answer_to_a_picture_of_none_of_them_is_wrong():
    judged = OutOfFold(np.array([[0.6, 0.1, 0.3]]), np.array([2]), 2, np.array([0]))

    assert judged.confidence == 0.6
    assert not judged.right.any()


def test_a_class_that_heads_were_not_taught_moves_no_other_one(random):
    """Known before are only two of three: they are judged under their own names."""
    embeddings, labels = clusters(random, {"a": 8, "b": 4, "c": 8, NONE: 4}, 1.0)
    examples = Examples.of(embeddings, labels)
    known = examples.at(np.array([label in "ac" for label in labels]))
    new = examples.at(np.array([label in ("b", NONE) for label in labels]))

    alone, beside = cross_validated(known), cross_validated(known, also=new)

    assert alone.right.mean() > 0.9
    assert beside.right.mean() > 0.9
