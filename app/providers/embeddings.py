"""Embeddings of the embedded model, as they are stored: half as many bytes as it computes with."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

AS_STORED: Final = np.dtype("<f2")

Embeddings = NDArray[np.float32]


def as_stored(embedding: Embeddings) -> bytes:
    return embedding.astype(AS_STORED).tobytes()


def from_stored(rows: Sequence[bytes]) -> Embeddings:
    """float32 (n, d), of as many; (0, 0) of none."""
    found = np.frombuffer(b"".join(rows), AS_STORED).astype(np.float32)
    return found.reshape(len(rows), -1) if rows else found.reshape(0, 0)
