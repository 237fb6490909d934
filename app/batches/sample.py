"""Draws an even sample of a batch's pictures, and counts them, while they stream by."""

from array import array
from hashlib import blake2b
from heapq import heappush, heappushpop

import numpy as np

SEED = b"dry run"
"""Fixed: the same pictures give the same sample."""

RANK_BYTES = 8
"""Two of a million pictures share a rank once in 37 million batches."""


def rank(picture: str | bytes) -> int:
    """Practically random, and the same for the same URL, or the same bytes."""
    kind, data = ("url", picture.encode()) if isinstance(picture, str) else ("bytes", picture)
    digest = blake2b(data, digest_size=RANK_BYTES, key=SEED, person=kind.encode())
    return int.from_bytes(digest.digest())


class Sample:
    """The distinct pictures with the lowest ranks: each is equally likely to be drawn, whatever the
    order of the items and however often it occurs.

    Source: bottom-k sampling, Cohen and Kaplan (2007). Of N pictures, about k (1 + ln(N / k)) are
    drawn at some time. Takes 8 bytes per item, plus what `drawn` holds.

    Attributes:
        drawn: pictures by rank; None once a picture was let go.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._ranks = array("Q")
        self._greatest: list[int] = []
        """Ranks of `drawn`, negative, as a heap."""
        self.drawn: dict[int, str | bytes | None] = {}

    @property
    def items(self) -> int:
        return len(self._ranks)

    def pictures(self) -> int:
        """How many distinct pictures there are. CPU-bound: a tenth of a second for a million."""
        return len(np.unique(np.frombuffer(self._ranks, np.uint64))) if self._ranks else 0

    def add(self, picture: str | bytes) -> None:
        """Take the next item. CPU-bound: the picture is hashed."""
        this = rank(picture)
        self._ranks.append(this)
        if this in self.drawn:
            return
        if len(self.drawn) < self._most:
            heappush(self._greatest, -this)
        else:
            greatest = -heappushpop(self._greatest, -this)
            if greatest == this:
                return
            del self.drawn[greatest]
        self.drawn[this] = picture

    def let_go(self, rank: int) -> None:
        """Release a picture that was looked at."""
        self.drawn[rank] = None
