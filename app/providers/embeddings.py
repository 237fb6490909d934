"""Embeddings: numbers in which the embedded model expresses what it sees, for comparing pictures.

They are stored at half the precision used in computation.
"""

from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from app.images import PreparedImage

AS_STORED: Final = np.dtype("<f2")

Embeddings = NDArray[np.float32]


@runtime_checkable
class Embedder(Protocol):
    """What the embedded provider offers in addition to `Provider`."""

    @property
    def model_sha256(self) -> str:
        """Of the model file that makes the embeddings; those of another file are not comparable."""
        ...

    def embed(self, image: PreparedImage) -> Embeddings:
        """(1280,), of length 1. Takes milliseconds of CPU: call it outside the event loop."""
        ...


def as_stored(embedding: Embeddings) -> bytes:
    return embedding.astype(AS_STORED).tobytes()


def from_stored(rows: Sequence[bytes]) -> Embeddings:
    """float32 (n, d) from n stored embeddings; (0, 0) when there are none."""
    found = np.frombuffer(b"".join(rows), AS_STORED).astype(np.float32)
    return found.reshape(len(rows), -1) if rows else found.reshape(0, 0)
