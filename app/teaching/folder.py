"""Teaches a folder of labelled pictures in one go."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from pydantic import ValidationError

from app.batches import Row, Unusable
from app.domains import Domain, DomainRegistry
from app.errors import ClassifierError, DomainNotFound, InvalidRequest, TooFewExamples, said
from app.labelled_folder import as_text, labelled_pictures
from app.picture_files import too_large
from app.result import NONE
from app.storage import ExampleChange, ExampleRow
from app.storage.audit import COMMAND_LINE
from app.teaching.collecting import Collecting, Seen
from app.teaching.lessons import Lessons
from app.teaching.report import LessonReport
from app.teaching.seeing import see_all

Tell = Callable[[int, int], None]
"""Called with the number of pictures done, and the total."""


@dataclass(frozen=True, slots=True)
class FolderLesson:
    """
    Attributes:
        lesson: its id; None: nothing was kept.
        is_new: the domain did not exist before.
        added, changed, known: pictures that are new, that had another label, and that were known.
        refused: files that can't be read, with the reason.
    """

    domain: str
    lesson: str | None
    is_new: bool
    added: int
    changed: int
    known: int
    refused: list[tuple[str, str]]
    report: LessonReport


@dataclass(frozen=True, slots=True)
class _Taken:
    """Counts of pictures by outcome, and those that can't be read."""

    counts: dict[ExampleChange, int] = field(
        default_factory=lambda: {"added": 0, "changed": 0, "known": 0}
    )
    refused: list[tuple[str, str]] = field(default_factory=list)

    @property
    def pictures(self) -> int:
        return sum(self.counts.values()) + len(self.refused)


class _Trial:
    """The examples of a dry run, by their pictures' SHA-256, as they would be stored."""

    def __init__(self, stored: Sequence[ExampleRow]) -> None:
        self.rows = {each.sha256: each for each in stored}

    def add(self, example: ExampleRow) -> ExampleChange:
        before = self.rows.get(example.sha256)
        self.rows[example.sha256] = example
        if before is None:
            return "added"
        return "known" if before.label == example.label else "changed"


class FolderTeaching:
    def __init__(self, domains: DomainRegistry, collecting: Collecting, lessons: Lessons) -> None:
        self._domains = domains
        self._collecting = collecting
        self._lessons = lessons

    async def teach(
        self,
        folder: Path,
        name: str,
        *,
        accuracy: float,
        caller: str,
        max_bytes: int,
        dry_run: bool = False,
        tell: Tell = lambda done, total: None,
    ) -> FolderLesson:
        """If the domain does not exist, it is created: the folders are its classes, except one
        called `none`, which allows that answer, and its threshold is the one found. If there are
        too few examples, or this is cancelled, it is not created. With `dry_run`, nothing is kept.

        Raises InvalidRequest for a folder that is not a class, TooFewExamples, StorageUnavailable.
        """
        domain, is_new = await self._domain(name, folder)
        pictures = labelled_pictures(folder, domain.labels)
        async with self._making(domain) if is_new and not dry_run else nullcontext():
            trial = None
            if dry_run:
                trial = _Trial([] if is_new else await self._collecting.to_learn(domain))
            taken = _Taken()
            async for row, seen in see_all(self._collecting, domain, _rows(pictures, max_bytes)):
                if isinstance(seen, ClassifierError):
                    taken.refused.append((row.place, str(seen)))
                elif isinstance(row, Row) and row.expected is not None:
                    taken.counts[await self._take(domain, row.expected, seen, caller, trial)] += 1
                tell(taken.pictures, len(pictures))
            try:
                lesson, report = await self._learn(domain, accuracy, trial)
            except TooFewExamples as error:
                raise _without(taken.refused, error) from error
            if lesson is not None and is_new and report.threshold is not None:
                threshold = ceil(report.threshold * 1_000) / 1_000
                changed = domain.model_copy(update={"confidence_threshold": threshold})
                await self._domains.replace(changed, by=COMMAND_LINE)
            return FolderLesson(
                name, lesson, is_new, **taken.counts, refused=taken.refused, report=report
            )

    async def _take(
        self, domain: Domain, label: str, seen: Seen, caller: str, trial: _Trial | None
    ) -> ExampleChange:
        if trial is None:
            return (await self._collecting.keep(domain, label, seen, caller=caller)).outcome
        return trial.add(self._collecting.row(domain, label, seen, caller=caller))

    async def _learn(
        self, domain: Domain, accuracy: float, trial: _Trial | None
    ) -> tuple[str | None, LessonReport]:
        if trial is None:
            return await self._lessons.teach(domain.name, accuracy=accuracy, by=COMMAND_LINE)
        _, report = await self._lessons.try_out(domain, list(trial.rows.values()), accuracy)
        return None, report

    @asynccontextmanager
    async def _making(self, domain: Domain) -> AsyncIterator[None]:
        await self._domains.create(domain, by=COMMAND_LINE)
        try:
            yield
        except (TooFewExamples, asyncio.CancelledError):
            await self._domains.delete(domain.name, by=COMMAND_LINE)
            raise

    async def _domain(self, name: str, folder: Path) -> tuple[Domain, bool]:
        try:
            return await self._domains.find(name), False
        except DomainNotFound:
            return _new_domain(name, folder), True


def _without(refused: list[tuple[str, str]], error: TooFewExamples) -> TooFewExamples:
    """The same error, which also mentions unreadable files."""
    if not refused:
        return error
    place, reason = refused[0]
    left_out = f"{len(refused):,} left out, such as {place}: {reason}"
    return TooFewExamples(f"{error} {left_out}")


def _new_domain(name: str, folder: Path) -> Domain:
    """Raises InvalidRequest."""
    if not folder.is_dir():
        raise InvalidRequest(f"{folder} is not a folder.")
    labels = sorted(path.name for path in folder.iterdir() if path.is_dir())
    try:
        return Domain(
            name=name,
            classes=[each for each in labels if each != NONE and not each.startswith(".")],
            allow_none=NONE in labels,
            providers=("local",),
        )
    except ValidationError as error:
        told = "; ".join(said(each["msg"]) for each in error.errors()[:3])
        raise InvalidRequest(f"{folder} makes no domain {name!r}: {told}") from None


def _rows(pictures: Sequence[tuple[Path, str]], max_bytes: int) -> Iterator[Row | Unusable]:
    for path, label in pictures:
        place = as_text(path)
        try:
            with path.open("rb") as file:
                data = file.read(max_bytes + 1)
        except OSError as error:
            yield Unusable(place, f"can't be read: {error.strerror}")
            continue
        if len(data) > max_bytes:
            yield Unusable(place, too_large(max_bytes))
        else:
            yield Row(place, data, expected=label)
