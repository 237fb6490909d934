"""Whether a person should look at an answer, and the picture that the person will see."""

import asyncio
import hashlib
from typing import NamedTuple

import structlog

from app.classification.intake import Intake, Picture
from app.domains import Domain
from app.errors import ClassifierError
from app.result import Result
from app.storage import BlobStore, ToReview
from app.storage.review_rows import UNSEEN, Queue

log = structlog.stdlib.get_logger(__name__)

KEPT_WITHIN_S = 5.0
"""Seconds. If the store takes longer, the picture is not kept: somebody waits for the answer."""


class Reviewing:
    """Queues every answer that needs review, and a random share of the accepted ones."""

    def __init__(self, intake: Intake, blobs: BlobStore, *, random_share: float) -> None:
        """`random_share` is the share of accepted answers to queue, 0 to 1."""
        self._intake = intake
        self._blobs = blobs
        self._random_share = random_share

    async def of(self, result: Result, domain: Domain, picture: Picture) -> ToReview | None:
        """Keep the picture, and return the entry to store with the result. None: nobody needs to
        look, or the true class is known."""
        if result.expected is not None or result.confidence is None:
            return None
        kind: Queue
        if result.status == "needs_review":
            kind, share = "unsure", 1.0
            rank = abs(result.confidence - domain.confidence_threshold)
        else:
            kind, share = "random", self._random_share
            lot, rank = draw(result.id)
            if result.status != "accepted" or lot >= share:
                return None
        kept = await self._kept(domain, picture)
        rank += UNSEEN * (kept is None)
        return ToReview(result.id, result.status, kind, share, rank, kept)

    async def _kept(self, domain: Domain, picture: Picture) -> str | None:
        """Keep the picture and return its name in the store. None: it can't be kept, which does not
        affect the answer."""
        try:
            jpeg = await self._intake.jpeg(picture, domain)
            async with asyncio.timeout(KEPT_WITHIN_S):
                return await self._blobs.put(jpeg)
        except ClassifierError as error:
            reason = str(error)
        except TimeoutError:
            reason = f"The store takes more than {KEPT_WITHIN_S:g} s."
        log.warning("a picture can't be kept for review", reason=reason)
        return None


class Lot(NamedTuple):
    """Two independent numbers, 0 to 1."""

    drawn: float
    rank: float


def draw(result_id: str) -> Lot:
    """Draw from the id alone, so that picture, answer and caller have no influence, and a second
    draw gives the same lot."""
    digest = hashlib.sha256(result_id.encode()).digest()
    drawn, rank = (int.from_bytes(digest[part : part + 8]) / 2**64 for part in (0, 8))
    return Lot(drawn, rank)
