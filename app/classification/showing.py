"""Chooses the examples that a chat model is shown beside a picture: those most similar to it."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from app.domains import Domain
from app.errors import (
    BlobNotFound,
    ImageTooLarge,
    ImageUnreadable,
    ProviderUnknown,
    StorageUnavailable,
)
from app.images import ImageWorkers, PreparedImage, prepare
from app.providers.base import Example
from app.providers.embeddings import Embedder, Embeddings, from_stored
from app.providers.registry import ProviderRegistry
from app.providers.taught import Taught
from app.result import NONE
from app.storage import BlobStore, ExampleRepository, ExampleRow, LessonRepository

log = structlog.stdlib.get_logger(__name__)

MOST_OF_A_LABEL = 200
"""Examples of each label that are considered: the newest."""

PICTURES_HELD = 256
"""Pictures of examples that stay in memory: some ten megabytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Shelf:
    """The examples of a domain that belong to one lesson.

    Attributes:
        directions: float32 (n, d), each of length 1.
    """

    lesson: str
    rows: Sequence[ExampleRow]
    directions: Embeddings

    def like(self, direction: Embeddings, domain: Domain, *, but: str) -> list[ExampleRow]:
        """As many examples as the domain wants shown. The most similar comes last, so that it
        stands next to the question; the picture with the SHA-256 `but` is excluded.

        Chosen are the nearest of each class, nearest class first, then the second nearest of each,
        and so on: from four examples of one class a model would learn that class, and from the
        nearest class alone it would learn nothing that it does not see.
        """
        near: dict[str, list[tuple[float, int]]] = {}
        offered = {NONE if each is None else each for each in domain.offered}
        cosines = self.directions @ direction
        for place in np.argsort(-cosines):
            row = self.rows[place]
            if row.sha256 != but and row.label in offered:
                near.setdefault(row.label, []).append((float(cosines[place]), int(place)))
        rounds = [
            (turn, -cosine, place)
            for each in near.values()
            for turn, (cosine, place) in enumerate(each)
        ]
        chosen = sorted(rounds)[: domain.few_shot]
        return [self.rows[place] for *_, place in sorted(chosen, key=lambda each: -each[1])]


def _chosen(
    shelf: Shelf, embedder: Embedder, image: PreparedImage, domain: Domain
) -> list[ExampleRow]:
    """CPU-bound: to be run in a worker thread."""
    return shelf.like(embedder.embed(image), domain, but=image.sha256)


class Showing:
    """The examples are those that the current lesson was taught with, so that the same picture is
    shown with the same ones until there is another lesson."""

    def __init__(
        self,
        examples: ExampleRepository,
        lessons: LessonRepository,
        blobs: BlobStore,
        workers: ImageWorkers,
        providers: ProviderRegistry,
        taught: Taught,
    ) -> None:
        self._examples = examples
        self._lessons = lessons
        self._blobs = blobs
        self._workers = workers
        self._providers = providers
        self._taught = taught
        self._shelves: dict[str, Shelf] = {}
        self._pictures: OrderedDict[tuple[str, int], PreparedImage] = OrderedDict()
        self._loading = asyncio.Lock()

    def lesson(self, domain: Domain) -> str:
        """An id that changes with what is shown; empty: nothing is shown."""
        taught = self._taught.of(domain.name) if domain.few_shot else None
        return "" if taught is None else taught.revision

    async def some(self, domain: Domain, name: str) -> list[PreparedImage]:
        """As many pictures as this provider is shown beside the one in question, chosen evenly from
        all examples. Raises StorageUnavailable."""
        shelf = await self._shelf(domain)
        if shelf is None or not await self._is_of_use((name,)):
            return []
        every = max(1, len(shelf.rows) // domain.few_shot)
        rows = shelf.rows[::every][: domain.few_shot]
        shown = [await self._shown(row, domain) for row in rows]
        return [each.image for each in shown if each is not None]

    async def like(
        self, image: PreparedImage, domain: Domain, names: Sequence[str]
    ) -> tuple[Example, ...] | None:
        """The examples most like the picture; empty where none of these providers uses any. A
        deleted example is left out. None: they can't be read just now."""
        try:
            if not await self._is_of_use(names):
                return ()
            shelf, embedder = await self._shelf(domain), await self._providers.embedder()
            if shelf is None or not shelf.rows:
                return ()
            rows = await self._workers.run(_chosen, shelf, embedder, image, domain)
            # A deleted example must not be shown any more, though the lesson knows it.
            there = await self._examples.there([row.id for row in rows])
            shown = [await self._shown(row, domain) for row in rows if row.id in there]
        except StorageUnavailable as error:
            log.warning("examples can't be read: none is shown", reason=str(error))
            return None
        return tuple(each for each in shown if each is not None)

    async def _is_of_use(self, names: Sequence[str]) -> bool:
        for name in names:
            try:
                capabilities = await self._providers.capabilities(name)
            except ProviderUnknown:
                continue
            if capabilities.takes_examples:
                return True
        return False

    async def _shelf(self, domain: Domain) -> Shelf | None:
        lesson = self.lesson(domain)
        if not lesson:
            return None
        shelf = self._shelves.get(domain.name)
        if shelf is not None and shelf.lesson == lesson:
            return shelf
        async with self._loading:
            shelf = self._shelves.get(domain.name)
            if shelf is None or shelf.lesson != lesson:
                shelf = self._shelves[domain.name] = await self._load(domain.name, lesson)
        return shelf

    async def _load(self, domain: str, lesson: str) -> Shelf:
        embedder = await self._providers.embedder()
        until = await self._lessons.made_at(lesson)
        rows = [
            row
            for row in await self._examples.to_learn(domain, most=MOST_OF_A_LABEL, until=until)
            if row.picture is not None and row.embedded_by == embedder.model_sha256
        ]
        return Shelf(lesson, rows, from_stored([row.embedding for row in rows]))

    async def _shown(self, row: ExampleRow, domain: Domain) -> Example | None:
        key = (row.picture or "", domain.image_size)
        image = self._pictures.get(key)
        if image is None:
            try:
                data = await self._blobs.get(row.picture or "")
                image = await self._workers.run(
                    prepare, data, longest=domain.image_size, sha256=row.sha256, encode=True
                )
            except (BlobNotFound, ImageUnreadable, ImageTooLarge) as error:
                log.warning("an example can't be shown", id=row.id, reason=str(error))
                return None
            self._pictures[key] = image
            if len(self._pictures) > PICTURES_HELD:
                self._pictures.popitem(last=False)
        self._pictures.move_to_end(key)
        return Example(image, row.label)
