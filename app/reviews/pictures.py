"""The pictures that reviewers see."""

from contextlib import suppress

from app.classification import Intake
from app.domains import DomainRegistry
from app.errors import (
    BlobNotFound,
    ClassifierError,
    Overloaded,
    PictureNotKept,
    StorageUnavailable,
)
from app.images import Stored
from app.result import Result
from app.storage import BlobStore, ReviewRepository


class Pictures:
    """Pictures kept for review or as examples, and those of batches while they exist."""

    def __init__(
        self,
        reviews: ReviewRepository,
        blobs: BlobStore,
        intake: Intake,
        domains: DomainRegistry,
    ) -> None:
        self._reviews = reviews
        self._blobs = blobs
        self._intake = intake
        self._domains = domains

    async def jpeg(self, result: Result) -> bytes:
        """Upright, small, without metadata: as a provider gets it. Raises PictureNotKept,
        Overloaded, StorageUnavailable."""
        review = await self._reviews.get(result.id)
        of_review = None if review is None else review.picture
        for name in (of_review, await self._reviews.example_picture(result.id)):
            with suppress(BlobNotFound):
                if name is not None:
                    return await self._blobs.get(name)
        return await self._of_upload(result)

    async def _of_upload(self, result: Result) -> bytes:
        """An untrusted upload is never served unchanged."""
        uploads = await self._reviews.uploads([result.id])
        try:
            if result.id in uploads:
                domain = await self._domains.find(result.domain)
                digest = uploads[result.id]
                return await self._intake.jpeg_of(Stored(digest), domain, sha256=digest)
        except (Overloaded, StorageUnavailable):
            raise  # it exists, but is not available now
        except ClassifierError as error:
            raise PictureNotKept(f"The picture of {result.id} can't be shown: {error}") from error
        raise PictureNotKept(f"The picture of {result.id} is not kept, or not any more.")
