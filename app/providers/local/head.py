"""Classifiers on top of the model's embedding, each learned from a few photographs.

They serve domains whose classes ImageNet does not know, such as roses and dandelions.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from app.providers.local.neighbours import Neighbours

DIGITS: Final = 5
"""Significant digits of a weight in a file."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Multinomial logistic regression on embeddings of length 1.

    Attributes:
        labels: the classes it tells apart.
        weights: float32 (rows, 1280), a row for each label; an additional last row stands for "none
            of these" when the head was taught examples of that.
        bias: float32 (rows,).
        model_sha256: of the model file whose embeddings it was taught with; no other will do.
        taught: the examples of its labels; None in files that were made before heads kept them.
        threshold: the confidence, 0 to 1, at or above which its answers were right as often as was
            asked for; None where none was found.
    """

    labels: tuple[str, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    model_sha256: str
    taught: Neighbours | None = None
    threshold: float | None = None

    @classmethod
    def load(cls, path: Path | Traversable) -> Self:
        """Read a file that `save` wrote. Raises ValueError when its parts do not match."""
        try:
            return cls.parse(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse what `to_json` made. Raises ValueError when its parts do not match."""
        content = json.loads(text)
        examples = content.get("examples")
        head = cls(
            tuple(content["labels"]),
            np.array(content["weights"], np.float32),
            np.array(content["bias"], np.float32),
            content["model_sha256"],
            Neighbours.from_json(examples) if examples else None,
            content.get("threshold"),
        )
        rows = len(head.bias)
        if rows - len(head.labels) not in (0, 1) or head.weights.shape[:1] != (rows,):
            raise ValueError("labels, weights and bias do not match")
        if head.taught and head.taught.embeddings.shape[1] != head.weights.shape[1]:
            raise ValueError("examples and weights do not match")
        return head

    def save(self, path: Path, about: dict[str, Any]) -> None:
        """Write it as JSON, preceded by the entries of `about`."""
        path.write_text(self.to_json(about) + "\n", "utf-8")

    def to_json(self, about: Mapping[str, Any] | None = None) -> str:
        """On one line, preceded by the entries of `about`."""
        content = {
            **(about or {}),
            "model_sha256": self.model_sha256,
            "labels": self.labels,
            "threshold": self.threshold,
            "bias": _rounded(self.bias),
            "weights": [_rounded(row) for row in self.weights],
            "examples": self.taught.to_json() if self.taught else None,
        }
        return json.dumps(content, separators=(",", ":"))

    def probabilities(self, embedding: NDArray[np.float32]) -> dict[str, float]:
        """Return the probability of each label; the remainder to 1 is "none of these"."""
        logits = self.weights @ (embedding / np.linalg.norm(embedding)) + self.bias
        odds = np.exp(logits - logits.max())
        shares = odds / odds.sum()
        return dict(zip(self.labels, shares.tolist(), strict=False))


def _rounded(numbers: NDArray[np.float32]) -> list[float]:
    return [float(f"{number:.{DIGITS}g}") for number in numbers]


def shipped_heads() -> Iterator[Head]:
    """Yield the heads shipped with the package."""
    folder = files("app.providers.local").joinpath("data/heads")
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        yield Head.load(path)
