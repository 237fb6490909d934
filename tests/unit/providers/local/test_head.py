"""A head turns an embedding into probabilities of its labels."""

import hashlib
import json
from importlib.resources import files

import numpy as np
import pytest

from app.providers.local.head import Head, shipped_heads


def head_of(labels, weights, bias):
    return Head(tuple(labels), np.array(weights, np.float32), np.array(bias, np.float32), "")


def test_probabilities_of_labels_alone_sum_to_one():
    """Softmax over the rows."""
    head = head_of(["day", "night"], [[1, 0], [0, 1]], [0, 0])

    answer = head.probabilities(np.array([3, 4], np.float32))

    assert list(answer) == ["day", "night"]
    assert sum(answer.values()) == pytest.approx(1)
    assert answer["night"] == pytest.approx(1 / (1 + np.exp(0.6 - 0.8)))


def test_a_row_without_a_label_takes_its_share():
    """What is missing to 1 is "none of these"."""
    head = head_of(["day", "night"], [[0, 0]] * 3, [0, 0, 0])

    answer = head.probabilities(np.array([1, 0], np.float32))

    assert answer == pytest.approx({"day": 1 / 3, "night": 1 / 3})


def test_the_length_of_an_embedding_does_not_matter():
    """Only its direction is judged; large logits do not overflow."""
    head = head_of(["day", "night"], [[900, 0], [0, 900]], [0, 0])
    embedding = np.array([1, 2], np.float32)

    assert head.probabilities(embedding) == pytest.approx(head.probabilities(embedding * 50))


def test_a_file_whose_parts_do_not_match_is_refused(tmp_path):
    """One row too few for its labels."""
    path = tmp_path / "head.json"
    path.write_text(
        json.dumps({"labels": ["a", "b"], "weights": [[1]], "bias": [0], "model_sha256": ""})
    )

    with pytest.raises(ValueError, match="do not match"):
        Head.load(path)


def test_the_shipped_head_knows_the_flowers_and_what_is_none_of_them():
    """Four labels, a fifth row, 1,280 weights each."""
    (flowers,) = shipped_heads()

    assert flowers.labels == ("daisy", "dandelion", "rose", "sunflower")
    assert flowers.weights.shape == (5, 1280)
    assert flowers.bias.shape == (5,)


def test_shipped_heads_were_learned_on_the_shipped_model():
    """Embeddings of two model files must never be mixed."""
    served = files("app.providers.local").joinpath("data/efficientnet-lite0-int8.onnx")

    for head in shipped_heads():
        assert head.model_sha256 == hashlib.sha256(served.read_bytes()).hexdigest()
