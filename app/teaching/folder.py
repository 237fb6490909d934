"""A folder of labelled pictures, taught at once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from pydantic import ValidationError

from app.batches.rows import Row, Unusable
from app.domains import Domain, DomainRegistry
from app.errors import ClassifierError, DomainNotFound, InvalidRequest, TooFewExamples
from app.labelled_folder import as_text, labelled_pictures
from app.picture_files import too_large
from app.result import NONE
from app.storage import ExampleRow
from app.teaching.collecting import Collecting
from app.teaching.lessons import Lessons
from app.teaching.report import LessonReport
from app.teaching.seeing import see_all

Tell = Callable[[int, int], None]
"""How many pictures are done, of how many."""


@dataclass(frozen=True, slots=True)
class FolderLesson:
    """
    Attributes:
        lesson: its id; None: nothing was kept.
        is_new: the domain did not exist before.
        added, changed, known: pictures that are new, that had another label, and that were there.
        refused: those that can't be read, and why.
    """

    domain: str
    lesson: str | None
    is_new: bool
    added: int
    changed: int
    known: int
    refused: list[tuple[str, str]]
    report: LessonReport


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
        """The domain is made where there is none: its classes are the folders, but for one called
        `none`, which allows that answer, and its threshold is the one that was found; when there
        is too little in them, or somebody stops this, it is not made. With `dry_run` nothing is
        kept.

        Raises InvalidRequest for a folder that is no class, TooFewExamples, StorageUnavailable.
        """
        domain, is_new = await self._domain(name, folder)
        pictures = labelled_pictures(folder, domain.labels)
        async with self._making(domain) if is_new and not dry_run else nullcontext():
            counts = {"added": 0, "changed": 0, "known": 0}
            refused: list[tuple[str, str]] = []
            stored = [] if is_new else await self._collecting.to_learn(domain)
            labels = {row.sha256: row.label for row in stored}
            fresh: list[ExampleRow] = []
            rows = _rows(pictures, max_bytes)
            async for row, seen in see_all(self._collecting, domain, rows):
                if isinstance(seen, ClassifierError):
                    refused.append((row.place, str(seen)))
                elif isinstance(row, Row) and row.expected is not None:
                    if dry_run:
                        example = self._collecting.row(domain, row.expected, seen, caller=caller)
                        before = labels.get(seen.sha256)
                        labels[seen.sha256] = example.label
                        fresh.append(example)
                        same = "known" if before == example.label else "changed"
                        counts["added" if before is None else same] += 1
                    else:
                        kept = await self._collecting.keep(
                            domain, row.expected, seen, caller=caller
                        )
                        counts[kept.outcome] += 1
                tell(sum(counts.values()) + len(refused), len(pictures))
            lesson = None
            try:
                if dry_run:
                    merged = {each.sha256: each for each in (*stored, *fresh)}
                    _, report = await self._lessons.try_out(domain, list(merged.values()), accuracy)
                else:
                    lesson, report = await self._lessons.teach(name, accuracy=accuracy)
            except TooFewExamples as error:
                raise _without(refused, error) from error
            if lesson is not None and is_new and report.threshold is not None:
                threshold = ceil(report.threshold * 1_000) / 1_000
                changed = domain.model_copy(update={"confidence_threshold": threshold})
                await self._domains.replace(changed)
            return FolderLesson(name, lesson, is_new, **counts, refused=refused, report=report)

    @asynccontextmanager
    async def _making(self, domain: Domain) -> AsyncIterator[None]:
        await self._domains.create(domain)
        try:
            yield
        except (TooFewExamples, asyncio.CancelledError):
            await self._domains.delete(domain.name)
            raise

    async def _domain(self, name: str, folder: Path) -> tuple[Domain, bool]:
        try:
            return await self._domains.find(name), False
        except DomainNotFound:
            return _new_domain(name, folder), True


def _without(refused: list[tuple[str, str]], error: TooFewExamples) -> TooFewExamples:
    """The same, and what of the folder could not be read."""
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
        told = "; ".join(each["msg"] for each in error.errors()[:3])
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
