"""The back end that runs the service's parts in this process."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.batches import BatchOptions, Files, Row, Unusable
from app.classification import Question
from app.client.at_work import AtWork, work_through
from app.client.backend import Answers, Asked, Kept, Order, Progress, Taught, Tell
from app.client.folder import Folder, PictureFile
from app.domains import Domain
from app.errors import DomainExists, InvalidRequest
from app.images import Upload, Url
from app.parts import Parts, build_parts
from app.picture_files import too_large
from app.result import Result
from app.settings import load_settings
from app.storage import BatchRow
from app.storage.audit import COMMAND_LINE
from app.teaching import FolderTeaching
from app.telemetry.logging import log_as_a_library

CALLER = "python"
PAGE = 500
"""Items that are read at once."""


class LocalBackend:
    """Stores answers as a service would. The parts are built by the first call."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Raises ConfigurationError."""
        self._settings = load_settings(**settings)
        self.copies = self._settings.blobs_folder
        self._stack = AsyncExitStack()
        self._building = asyncio.Lock()
        self._parts: Parts | None = None
        log_as_a_library()

    async def classify(self, picture: bytes | str, asked: Asked) -> Result:
        parts = await self._built()
        return await parts.classification.classify(
            Question(
                source=Url(picture) if isinstance(picture, str) else Upload(picture),
                domain=asked.domain,
                caller=CALLER,
                provider=asked.provider,
                expected=asked.expected,
                metadata=asked.metadata,
            )
        )

    async def define_domain(self, name: str, spec: Mapping[str, Any]) -> None:
        domains = (await self._built()).domains
        try:
            domain = Domain(name=name, **spec)
        except ValidationError as error:
            raise InvalidRequest.of(error.errors()) from None
        try:
            await domains.create(domain, by=COMMAND_LINE)
        except DomainExists:
            await domains.replace(domain, by=COMMAND_LINE)

    async def teach(self, folder: Path, domain: str, accuracy: float) -> Taught:
        parts = await self._built()
        teaching = FolderTeaching(parts.domains, parts.collecting, parts.lessons)
        found = await teaching.teach(
            folder,
            domain,
            accuracy=accuracy,
            caller=CALLER,
            max_bytes=self._settings.max_upload,
        )
        report = found.report
        return Taught(
            found.lesson or "",
            report.examples + report.none_examples,
            report.accuracy,
            report.threshold,
            dict(found.refused),
        )

    async def process(self, folder: Folder, order: Order, tell: Tell) -> Answers:
        options = _options(folder, order)
        sent, refused = _parted(folder.pictures, self._settings.max_upload)
        if not sent:
            return Answers(refused=refused)

        async def begin(work: AtWork) -> BatchRow:
            # Raises errors that would make every picture fail.
            await work.parts.classification.is_metered(order.domain, order.provider)
            batch = await work.unfinished(options) or await _taken(work, sent, options, tell)
            if batch.status == "paused":
                await work.parts.runner.change_status(batch.id, "running", of=("paused",))
            return batch

        def go_on(batch: BatchRow) -> bool:
            tell(_progress(batch))
            return not batch.is_held_up

        # Separate parts, since they lock the database: they exist only while they work on the
        # batch.
        answers = await work_through(self._settings, CALLER, begin, go_on=go_on, end=_answers)
        answers.refused |= refused
        return answers

    async def aclose(self) -> None:
        await self._stack.aclose()

    async def _built(self) -> Parts:
        async with self._building:
            if self._parts is None:
                self._parts = await self._stack.enter_async_context(build_parts(self._settings))
            return self._parts


def _options(folder: Folder, order: Order) -> BatchOptions:
    try:
        return BatchOptions(
            domain=order.domain,
            provider=order.provider,
            name=(order.name or str(folder.path.resolve()))[-200:],
            batch_size=order.batch_size,
        )
    except ValidationError as error:
        raise InvalidRequest.of(error.errors()) from None


def _parted(
    pictures: Sequence[PictureFile], max_bytes: int
) -> tuple[list[PictureFile], dict[str, str]]:
    """Pictures that a batch accepts, and why it does not accept the others."""
    refused = {each.sent_as: too_large(max_bytes) for each in pictures if each.size > max_bytes}
    return [each for each in pictures if each.sent_as not in refused], refused


async def _taken(
    work: AtWork, pictures: Sequence[PictureFile], options: BatchOptions, tell: Tell
) -> BatchRow:
    domain = await work.parts.domains.find(options.domain)
    files = Files.of(work.parts.settings, domain)

    def rows() -> Iterator[Row | Unusable]:
        for number, each in enumerate(pictures):
            tell(Progress("sending", number, len(pictures)))
            yield from files.picture(each.sent_as, each.path)

    return await work.take(options, rows())


async def _answers(parts: Parts, batch: BatchRow) -> Answers:
    answers = Answers([batch.id])
    if batch.status != "completed":
        answers.left_because = f"The batch is {batch.status}. {batch.reason or ''}".strip()
    after = -1
    while page := await parts.batches.items(batch.id, after=after, limit=PAGE):
        for item, result in page:
            answers.results[item.item_id] = None if result is None else Kept.of(result)
        after = page[-1][0].number
    async for bad in parts.batches.all_bad_rows(batch.id):
        answers.refused |= {each.place: each.reason for each in bad}
    return answers


def _progress(batch: BatchRow) -> Progress:
    return Progress(
        "paused" if batch.status == "paused" else "classifying",
        batch.done,
        batch.total,
        batch.needs_review,
        batch.failed,
    )
