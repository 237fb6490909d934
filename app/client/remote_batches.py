"""Classifies a folder on a server: sends archives, follows the batches, reads results by page."""

import asyncio
import socket
import tempfile
import zipfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any
from uuid import uuid4

from pydantic import BaseModel

from app.client.backend import Answers, Kept, Order, Progress, Tell
from app.client.folder import Folder, PictureFile
from app.client.http import Http, parsed
from app.errors import BatchOver, ClassifierError
from app.result import Result

GROUP_FILES, GROUP_BYTES = 20_000, 1_000_000_000
"""Limits of one archive: a server accepts 65,535 files and, by default, 2 GB."""

SENT_WITHIN_S = 3_600.0
"""The longest time a server takes to receive a batch."""

FIRST_LOOK_S, LOOKED_AT_EVERY_S = 0.1, 1.0
OUTAGE_PATIENCE_S = 300.0
"""How long to wait for a server that becomes unreachable while it works on a batch."""
PAUSED_WITHIN_S = 5.0

PAGES, PAGE = 10, 100
"""How many of the newest batches to search for those to continue."""
ITEMS = 500
"""Items in one page of results."""

LONGEST_NAME = 180
"""Leaves room for ` (1/2)` in a batch's name of at most 200 characters."""


class Report(BaseModel):
    """The part of a server's report on a batch that is needed here."""

    id: str
    name: str | None
    domain: str
    status: str
    reason: str | None = None
    total: int
    done: int
    bad_rows: int
    counts: dict[str, int]

    @property
    def is_over(self) -> bool:
        return self.status in ("completed", "failed", "cancelled")

    @property
    def is_held_up(self) -> bool:
        """Whether it is paused for lack of budget."""
        return self.status == "paused" and self.reason is not None


class Reports(BaseModel):
    batches: list[Report]
    next_cursor: str | None


class Item(BaseModel):
    item_id: str
    result: Result | None


class Items(BaseModel):
    items: list[Item]
    next_after: int | None


class BadRow(BaseModel):
    place: str
    reason: str


class BadRows(BaseModel):
    errors: list[BadRow]
    next_after: int | None


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures that form one batch, and its name."""

    name: str
    pictures: list[PictureFile]


def groups_of(folder: Folder, name: str, *, files: int, size: int) -> list[Group]:
    """Split a folder that is too large for one archive into several batches."""
    groups = list(folder.groups(files=files, size=size))
    name = name[-LONGEST_NAME:]
    if len(groups) == 1:
        return [Group(name, groups[0])]
    return [
        Group(f"{name} ({number}/{len(groups)})", each) for number, each in enumerate(groups, 1)
    ]


def to_go_on_with(names: Sequence[str], newest: Mapping[str, Report]) -> dict[str, Report]:
    """Batches left by an interrupted call, by name; empty when that call was completed.

    A call creates its batches in the order of `names`: any that is older than the first is from an
    earlier call.
    """
    first = newest.get(names[0])
    if first is None:
        return {}
    left = {name: newest[name] for name in names if name in newest and newest[name].id >= first.id}
    ended = len(left) == len(names) and all(each.is_over for each in left.values())
    return {} if ended else left


class RemoteBatches:
    def __init__(
        self, http: Http, *, group_files: int = GROUP_FILES, group_bytes: int = GROUP_BYTES
    ) -> None:
        self._http = http
        self._group_files = group_files
        self._group_bytes = group_bytes

    async def process(self, folder: Folder, order: Order, tell: Tell) -> Answers:
        """As Backend.process. When interrupted, the batches are paused so that nothing more is
        spent."""
        # Folders on several machines may have the same path.
        name = order.name or f"{socket.gethostname()}:{folder.path.resolve()}"
        groups = groups_of(folder, name, files=self._group_files, size=self._group_bytes)
        names = [each.name for each in groups]
        begun = to_go_on_with(names, await self._newest(names, order.domain))
        mine = {each.id: each for each in begun.values()}
        answers = Answers()
        try:
            sent = 0
            for group in groups:
                if group.name not in begun:
                    upload = _Upload(group, sent, len(folder.pictures), tell)
                    report = await self._send(upload, order, answers)
                    mine |= {} if report is None else {report.id: report}
                sent += len(group.pictures)
            for each in begun.values():
                await self._resume(each)
            await self._follow(mine, tell)
        except asyncio.CancelledError:
            await self._pause(mine)
            raise
        for each in sorted(mine.values(), key=lambda report: report.id):
            await self._read(each, answers)
        return answers

    async def _newest(self, names: Collection[str], domain: str) -> dict[str, Report]:
        found: dict[str, Report] = {}
        cursor = ""
        for _ in range(PAGES):
            page = await self._http.get(f"/batches?limit={PAGE}{cursor}", Reports)
            for each in page.batches:
                if each.name is not None and each.name in names and each.domain == domain:
                    found.setdefault(each.name, each)
            if page.next_cursor is None or len(found) == len(names):
                break
            cursor = f"&cursor={page.next_cursor}"
        return found

    async def _send(self, upload: "_Upload", order: Order, answers: Answers) -> Report | None:
        """Send a group and return its batch; None where there was nothing to send."""
        options = {
            "domain": order.domain,
            "provider": order.provider,
            "name": upload.group.name,
            "batch_size": order.batch_size,
        }
        with tempfile.TemporaryFile() as archive:
            unreadable = await asyncio.to_thread(packed, upload.group.pictures, archive)
            answers.refused |= unreadable
            if len(unreadable) == len(upload.group.pictures):
                return None
            sent = await self._http.send(
                "POST",
                "/batches",
                body=lambda: {
                    "data": {name: value for name, value in options.items() if value is not None},
                    "files": {"file": ("pictures.zip", upload.of(archive), "application/zip")},
                },
                headers={"idempotency-key": uuid4().hex},
                timeout_s=SENT_WITHIN_S,
            )
        return parsed(sent, Report)

    async def _resume(self, report: Report) -> None:
        if report.status == "paused":
            with suppress(BatchOver):  # it ended in the meantime
                await self._http.send("POST", f"/batches/{report.id}/resume")

    async def _follow(self, reports: dict[str, Report], tell: Tell) -> None:
        """Wait until all have ended or are held up; `reports` are kept up to date."""
        wait_s = FIRST_LOOK_S
        while True:
            for each in [each.id for each in reports.values() if not each.is_over]:
                reports[each] = await self._http.get(
                    f"/batches/{each}", Report, patience_s=OUTAGE_PATIENCE_S
                )
            tell(_progress(reports.values()))
            if all(each.is_over or each.is_held_up for each in reports.values()):
                return
            await asyncio.sleep(wait_s)
            wait_s = min(1.5 * wait_s, LOOKED_AT_EVERY_S)

    async def _pause(self, reports: Mapping[str, Report]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PAUSED_WITHIN_S):
                for each in reports:
                    with suppress(ClassifierError):
                        await self._http.send("POST", f"/batches/{each}/pause")

    async def _read(self, report: Report, answers: Answers) -> None:
        answers.batch_ids.append(report.id)
        if report.status != "completed":
            answers.left_because = f"The batch is {report.status}. {report.reason or ''}".strip()
        after: int | None = -1
        while after is not None:
            items = await self._page(report, "items", after, Items)
            for each in items.items:
                kept = None if each.result is None else Kept.of(each.result)
                answers.results[each.item_id] = kept
            after = items.next_after
        after = -1 if report.bad_rows else None
        while after is not None:
            bad = await self._page(report, "errors", after, BadRows)
            answers.refused |= {each.place: each.reason for each in bad.errors}
            after = bad.next_after

    async def _page(self, report: Report, what: str, after: int, model: type[Any]) -> Any:
        path = f"/batches/{report.id}/{what}?after={after}&limit={ITEMS}"
        return await self._http.get(path, model, patience_s=OUTAGE_PATIENCE_S)


class _Upload:
    """An archive being uploaded, and its progress."""

    def __init__(self, group: Group, before: int, total: int, tell: Tell) -> None:
        self.group = group
        self._before = before
        self._total = total
        self._tell = tell

    def of(self, archive: IO[bytes]) -> "_Upload":
        """Start from the beginning of the archive."""
        self._archive = archive
        self._size = archive.seek(0, 2) or 1
        archive.seek(0)
        return self

    def read(self, size: int = -1) -> bytes:
        done = self._before + len(self.group.pictures) * self._archive.tell() // self._size
        self._tell(Progress("sending", done, self._total))
        return self._archive.read(size)

    def fileno(self) -> int:
        """For finding the length of the archive."""
        return self._archive.fileno()


def packed(pictures: Sequence[PictureFile], archive: IO[bytes]) -> dict[str, str]:
    """Write the pictures to a ZIP; return why some can't be read, by their names in the archive."""
    unreadable: dict[str, str] = {}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED, strict_timestamps=False) as file:
        for each in pictures:
            try:
                data = each.path.read_bytes()
            except OSError as error:
                unreadable[each.sent_as] = f"can't be read: {error.strerror}"
            else:
                file.writestr(each.sent_as, data)
    return unreadable


def _progress(reports: Collection[Report]) -> Progress:
    def added(name: str) -> int:
        return sum(each.counts.get(name, 0) for each in reports)

    return Progress(
        "paused" if any(each.status == "paused" for each in reports) else "classifying",
        sum(each.done for each in reports),
        sum(each.total for each in reports),
        added("needs_review"),
        added("failed"),
    )
