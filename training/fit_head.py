"""Learns a head: a classifier on the embeddings of the model file that is served.

python -m training.fit_head FOLDER [--none DIR ...] [--unseen DIR ...] [--out FILE]

FOLDER holds a folder of photographs for each class. Photographs of `--none` teach the head what
none of the classes looks like; those of `--unseen` are none either, and only measured.
"""

# ruff: noqa: T201 - a command prints

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from app.providers.local.head import Head
from app.providers.local.model import EfficientNetLite
from training.photographs import list_photographs, read_pixels

NONE = "~none"  # sorts behind every label, as the head wants it
SURE = 0.7
FOLDS, SHUFFLES = 5, 10
DIGITS = 5  # significant ones of a weight in the file

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Examples:
    """Embeddings and their labels."""

    embeddings: Array
    labels: Array

    def __getitem__(self, chosen: Array) -> "Examples":
        return Examples(self.embeddings[chosen], self.labels[chosen])


def embed(model: EfficientNetLite, paths: Sequence[Path]) -> Array:
    """Return the embeddings of the photographs, as the service would compute them."""
    return np.array([model.run(read_pixels(path)).embedding for path in paths])


def fit(examples: Examples, strength: float, model_sha256: str) -> Head:
    """Return the head that the examples teach."""
    length = np.linalg.norm(examples.embeddings, axis=1, keepdims=True)
    regression = LogisticRegression(C=strength, max_iter=5000)
    regression.fit(examples.embeddings / length, examples.labels)
    weights, bias = regression.coef_, regression.intercept_
    if len(weights) == 1:  # of two classes scikit-learn keeps one row, for the second
        weights, bias = np.vstack([-weights, weights]) / 2, np.array([-bias[0], bias[0]]) / 2
    labels = tuple(str(label) for label in regression.classes_ if label != NONE)
    return Head(labels, weights.astype(np.float32), bias.astype(np.float32), model_sha256)


def answer(head: Head, embedding: Array) -> tuple[str, float]:
    """Return the most probable label and its probability."""
    return max(head.probabilities(embedding).items(), key=lambda each: each[1])


def cross_validate(examples: Examples, strength: float) -> dict[str, float]:
    """Return the mean figures of heads that never saw what they are asked about."""
    right, sure, taken = [], [], []
    for seed in range(SHUFFLES):
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
        for learned, asked in folds.split(examples.embeddings, examples.labels):
            head = fit(examples[learned], strength, "")
            for index in asked:
                truth = examples.labels[index]
                label, confidence = answer(head, examples.embeddings[index])
                if truth == NONE:
                    taken.append(confidence > SURE)
                else:
                    right.append(label == truth)
                    sure.append(confidence > SURE)
    figures = {
        "accuracy": np.mean(right),
        "share_sure": np.mean(sure),
        "accuracy_of_sure": np.mean(np.array(right)[np.array(sure)]),
    }
    if taken:
        figures["share_sure_of_none"] = np.mean(taken)
    return {name: round(float(value), 4) for name, value in figures.items()}


def write(head: Head, path: Path, about: dict[str, Any]) -> None:
    """Write the head and what is known about it, as JSON."""

    def rounded(numbers: Array) -> list[float]:
        return [float(f"{number:.{DIGITS}g}") for number in numbers]

    content = {
        **about,
        "model_sha256": head.model_sha256,
        "labels": head.labels,
        "bias": rounded(head.bias),
        "weights": [rounded(row) for row in head.weights],
    }
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n", "utf-8")


def main() -> None:
    """Learn, measure and write, as asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--none", type=Path, nargs="*", default=[], metavar="DIR")
    parser.add_argument("--unseen", type=Path, nargs="*", default=[], metavar="DIR")
    parser.add_argument("--strength", type=float, default=20.0, metavar="C")
    parser.add_argument("--cross-validate", action="store_true")
    parser.add_argument("--attribution", default="", help="whose photographs, under which licence")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()

    served = files("app.providers.local").joinpath("data/efficientnet-lite0-int8.onnx")
    model_sha256 = hashlib.sha256(served.read_bytes()).hexdigest()
    model = EfficientNetLite()
    photographs = list_photographs(arguments.folder)
    strangers = [path for folder in arguments.none for path in list_photographs(folder)]
    examples = Examples(
        embed(model, photographs + strangers),
        np.array([path.parent.name for path in photographs] + [NONE] * len(strangers)),
    )
    head = fit(examples, arguments.strength, model_sha256)

    figures: dict[str, Any] = {}
    if arguments.cross_validate:
        figures = cross_validate(examples, arguments.strength)
    for folder in arguments.unseen:
        paths = list_photographs(folder)
        confidences = [answer(head, each)[1] for each in embed(model, paths)]
        figures[f"share_sure_of_unseen_{folder.name}"] = round(
            float(np.mean(np.array(confidences) > SURE)), 4
        )
    for name, value in figures.items():
        print(f"{name}: {value:.1%}")
    if arguments.out:
        about = {
            "made_by": "training.fit_head",
            "strength": arguments.strength,
            "photographs": {label: int(np.sum(examples.labels == label)) for label in head.labels}
            | {"none of these": len(strangers)},
            "attribution": arguments.attribution,
            "learned_from": sorted(path.name for path in photographs + strangers),
            "figures": figures,
        }
        write(head, arguments.out, about)
        print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
