"""How far a picture is from the examples that a head was taught with."""

import base64
import math
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS: Final = 3
REACH: Final = 0.9
"""The share of examples that lie within the bound of what still belongs."""
SAME_SCENE: Final = 0.05
"""Cosine distance, about that between a photograph and its mirror image."""
STEEPNESS: Final = math.log(99)
"""A picture as near as the median example belongs to 99 %."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Examples, and whether a picture is as near to them as they are to each other.

    Attributes:
        embeddings: int8 (n, d): only their directions matter, for which 8 bits are enough (an error
            of at most 0.0002 in the cosine).
        owners: intp (n,), the position of each one's label in the head's labels.
    """

    embeddings: NDArray[np.int8]
    owners: NDArray[np.intp]

    @classmethod
    def of(cls, embeddings: NDArray[Any], owners: NDArray[np.intp]) -> Self:
        """From embeddings (n, d) of any length but 0."""
        largest = np.abs(embeddings).max(axis=1, keepdims=True)
        return cls(np.rint(embeddings / largest * 127).astype(np.int8), owners)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Read what `to_json` made."""
        owners = np.array(content["owners"], np.intp)
        packed = zlib.decompress(base64.b64decode(content["embeddings"]))
        return cls(np.frombuffer(packed, np.int8).reshape(len(owners), -1), owners)

    def to_json(self) -> dict[str, Any]:
        packed = base64.b64encode(zlib.compress(self.embeddings.tobytes(), 9))
        return {"owners": self.owners.tolist(), "embeddings": packed.decode()}

    def only(self, owners: set[int]) -> Self:
        """The examples of these labels."""
        chosen = np.isin(self.owners, list(owners))
        return type(self)(self.embeddings[chosen], self.owners[chosen])

    def distance(self, embedding: NDArray[np.float32]) -> float:
        """Mean cosine distance, 0 to 2, to the nearest examples."""
        cosines = self._directions @ (embedding / np.linalg.norm(embedding))
        return 1 - float(np.partition(cosines, -self._count)[-self._count :].mean())

    def belongs(self, embedding: NDArray[np.float32]) -> float:
        """How well a picture fits what was taught, 0 to 1: a half where 90 % of the examples are
        nearer to the others than it is; 1 where there are too few examples to tell."""
        if math.isinf(self.bound):
            return 1.0
        beyond = (self.distance(embedding) - self.bound) / (self.bound - self._middle)
        return 1 / (1 + math.exp(min(STEEPNESS * beyond, 700)))

    @cached_property
    def bound(self) -> float:
        """The largest distance that still belongs; infinite for fewer than two different
        examples."""
        if len(self._directions) < 2:
            return math.inf
        return max(SAME_SCENE, float(np.quantile(self._left_out, REACH)))

    @cached_property
    def _middle(self) -> float:
        # Kept below the bound even where all examples are equally far from each other.
        return min(float(np.median(self._left_out)), 0.9 * self.bound)

    @cached_property
    def _left_out(self) -> NDArray[np.floating[Any]]:
        """The distance of each example to the others."""
        cosines = self._directions @ self._directions.T
        np.fill_diagonal(cosines, -np.inf)
        return np.asarray(1 - np.sort(cosines, axis=1)[:, -self._count :].mean(axis=1))

    @cached_property
    def _directions(self) -> NDArray[np.float32]:
        """Directions of the different examples, float32 of length 1."""
        different = self.embeddings[self._different].astype(np.float32)
        return np.asarray(different / np.linalg.norm(different, axis=1, keepdims=True))

    @cached_property
    def _different(self) -> NDArray[np.intp]:
        # A duplicate must not count as a neighbour of its original.
        return np.unique(self.embeddings, axis=0, return_index=True)[1]

    @cached_property
    def _count(self) -> int:
        """The number of neighbours compared with, limited by what the smallest class can supply."""
        _, sizes = np.unique(self.owners[self._different], return_counts=True)
        return max(1, min(NEIGHBOURS, int(sizes.min()) - 1))
