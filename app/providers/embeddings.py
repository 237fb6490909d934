"""What the embedded model sees in a picture, as numbers, by which pictures are alike.

They are stored in half as many bytes as it computes with.
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
    """What the embedded provider has besides."""

    @property
    def model_sha256(self) -> str:
        """Of the model file, by which embeddings are made: those of another one mean something
        else."""
        ...

    def embed(self, image: PreparedImage) -> Embeddings:
        """(1280,), of length 1. It takes milliseconds of CPU: call it off the event loop."""
        ...


def as_stored(embedding: Embeddings) -> bytes:
    return embedding.astype(AS_STORED).tobytes()


def from_stored(rows: Sequence[bytes]) -> Embeddings:
    """float32 (n, d), of as many; (0, 0) of none."""
    found = np.frombuffer(b"".join(rows), AS_STORED).astype(np.float32)
    return found.reshape(len(rows), -1) if rows else found.reshape(0, 0)
