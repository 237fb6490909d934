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
    """Such as were kept, and those of batches as long as they are there."""

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
        """Upright, small, without metadata: as a provider got it. Raises PictureNotKept,
        Overloaded, StorageUnavailable."""
        review = await self._reviews.get(result.id)
        of_review = None if review is None else review.picture
        for name in (of_review, await self._reviews.example_picture(result.id)):
            with suppress(BlobNotFound):
                if name is not None:
                    return await self._blobs.get(name)
        return await self._of_upload(result)

    async def _of_upload(self, result: Result) -> bytes:
        """What a stranger sent is never given out as it is."""
        uploads = await self._reviews.uploads([result.id])
        try:
            if result.id in uploads:
                domain = await self._domains.find(result.domain)
                digest = uploads[result.id]
                return await self._intake.jpeg_of(Stored(digest), domain, sha256=digest)
        except (Overloaded, StorageUnavailable):
            raise  # it is there, only not now
        except ClassifierError as error:
            raise PictureNotKept(f"The picture of {result.id} can't be shown: {error}") from error
        raise PictureNotKept(f"The picture of {result.id} is not kept, or not any more.")
