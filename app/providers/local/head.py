"""Classifiers learned from a few photographs on top of the model's embedding.

They answer for domains whose classes ImageNet does not know, such as roses and dandelions.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Multinomial logistic regression on embeddings of length 1.

    Attributes:
        labels: the classes it tells apart.
        weights: float32 (rows, 1280), a row for each label; a last row more stands for "none of
            these" when the head has learned what that looks like.
        bias: float32 (rows,).
        model_sha256: of the only model file whose embeddings mean anything to it.
    """

    labels: tuple[str, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    model_sha256: str

    @classmethod
    def load(cls, path: Path | Traversable) -> Self:
        """Read a file that `training.fit_head` wrote."""
        content = json.loads(path.read_text(encoding="utf-8"))
        head = cls(
            tuple(content["labels"]),
            np.array(content["weights"], np.float32),
            np.array(content["bias"], np.float32),
            content["model_sha256"],
        )
        rows = len(head.bias)
        if rows - len(head.labels) not in (0, 1) or head.weights.shape[:1] != (rows,):
            raise ValueError(f"{path}: labels, weights and bias do not match")
        return head

    def probabilities(self, embedding: NDArray[np.float32]) -> dict[str, float]:
        """Return how probable each label is; what is missing to 1 says "none of these"."""
        logits = self.weights @ (embedding / np.linalg.norm(embedding)) + self.bias
        odds = np.exp(logits - logits.max())
        shares = odds / odds.sum()
        return dict(zip(self.labels, shares.tolist(), strict=False))


def shipped_heads() -> Iterator[Head]:
    """Yield the heads that come with the package."""
    folder = files("app.providers.local").joinpath("data/heads")
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        yield Head.load(path)
