"""Turns a labelled picture into an example."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from app.classification import Intake, check_label
from app.domains import Domain
from app.errors import BlobNotFound
from app.identifiers import EXAMPLE, new_id
from app.images import ImageSource, ImageWorkers, PreparedImage, Stored
from app.providers.embeddings import Embedder, Embeddings, as_stored
from app.providers.registry import ProviderRegistry
from app.storage import BlobStore, ExampleChange, ExampleRepository, ExampleRow

MOST = 1_000
"""Examples of a domain that are learned from, the newest of each label; but at least ten of each,
however many labels there are. This many take about ten seconds."""
FEW = 10


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture as the local model sees it.

    Attributes:
        sha256: of the picture as received.
        jpeg: as a chat model would be shown it.
        embedding: float32, of length 1.
        embedded_by: the model file's SHA-256.
    """

    sha256: str
    jpeg: bytes
    embedding: Embeddings
    embedded_by: str


@dataclass(frozen=True, slots=True)
class Kept:
    """An example, and whether it is new."""

    id: str
    label: str
    sha256: str
    outcome: ExampleChange


class Collecting:
    def __init__(
        self,
        stored: ExampleRepository,
        intake: Intake,
        workers: ImageWorkers,
        blobs: BlobStore,
        providers: ProviderRegistry,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._stored = stored
        self._intake = intake
        self._workers = workers
        self._blobs = blobs
        self._providers = providers
        self._clock = clock

    async def see(self, source: ImageSource, domain: Domain) -> Seen:
        """Raises the errors of reading and preparing a picture."""
        image = await self._intake.prepare(source, domain)
        return await self._workers.run(_seen, image, await self.model())

    async def keep(
        self,
        domain: Domain,
        label: str,
        seen: Seen,
        *,
        caller: str,
    ) -> Kept:
        """Raises LabelNotInDomain, StorageUnavailable."""
        check_label(label, domain)
        picture = await self._blobs.put(seen.jpeg)
        row = replace(self.row(domain, label, seen, caller=caller), picture=picture)
        example_id, outcome = await self._stored.put(row)
        return Kept(example_id, row.label, row.sha256, outcome)

    async def row_of(
        self, picture: str, domain: Domain, label: str, digest: str, *, caller: str, result_id: str
    ) -> ExampleRow | None:
        """From a prepared JPEG among the blobs, whose original had the SHA-256 `digest`; None: it
        is gone."""
        try:
            seen = await self.see(Stored(picture), domain)
        except BlobNotFound:
            return None
        seen = replace(seen, sha256=digest)
        row = self.row(domain, label, seen, caller=caller)
        return replace(row, picture=picture, source="review", result_id=result_id)

    async def to_learn(self, domain: Domain) -> list[ExampleRow]:
        """Examples with embeddings of the current model file: others are embedded anew. Raises
        StorageUnavailable."""
        most = max(FEW, MOST // len(domain.truths))
        rows = await self._stored.to_learn(domain.name, most=most)
        mine = (await self.model()).model_sha256
        found = [
            row if row.embedded_by == mine else await self._renewed(row, domain) for row in rows
        ]
        return [row for row in found if row is not None]

    async def model(self) -> Embedder:
        return await self._providers.embedder()

    async def _renewed(self, row: ExampleRow, domain: Domain) -> ExampleRow | None:
        if row.picture is None:
            return None
        try:
            seen = await self.see(Stored(row.picture), domain)
        except BlobNotFound:
            return None
        embedding = as_stored(seen.embedding)
        renewed = replace(row, embedding=embedding, embedded_by=seen.embedded_by)
        await self._stored.put(renewed)
        return renewed

    def row(self, domain: Domain, label: str, seen: Seen, *, caller: str) -> ExampleRow:
        """An example given by a caller; its picture is not stored yet."""
        return ExampleRow(
            id=new_id(EXAMPLE),
            domain=domain.name,
            label=label,
            sha256=seen.sha256,
            picture=None,
            embedding=as_stored(seen.embedding),
            embedded_by=seen.embedded_by,
            source="given",
            result_id=None,
            caller=caller,
            created_at=self._clock(),
        )


def _seen(image: PreparedImage, model: Embedder) -> Seen:
    return Seen(image.sha256, image.jpeg, model.embed(image), model.model_sha256)
