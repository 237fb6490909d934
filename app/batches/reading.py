"""Reads rows as they come in, in threads and a few at a time, and checks them."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import islice
from urllib.parse import urlsplit

from app.batches.rows import Row, Unusable
from app.errors import BatchTooLarge, InvalidRequest, UrlRefused
from app.images import ImageSource, InStorage, Stored, Url
from app.settings_groups import BatchSettings
from app.storage import AllowedUris
from app.storage.batch_rows import DIGEST

TAKEN_AT_ONCE = 500
"""Rows that are read in a thread, and stored, together."""

TAKEN_BYTES = 32_000_000
"""Bytes of pictures that are held until they are stored."""

MAX_BAD_ROWS = 10_000
"""Bad rows that are reported one by one; more mean that the whole is wrong."""


@dataclass(frozen=True, slots=True)
class Reading:
    """
    Attributes:
        allowed: the places that storage URIs may point to.
    """

    settings: BatchSettings
    allowed: AllowedUris

    async def groups(
        self,
        rows: Iterable[Row | Unusable],
        truths: frozenset[str],
        threads: Executor | None = None,
    ) -> AsyncIterator[tuple[list[Row], list[Unusable]]]:
        """Yields items and unusable rows, in their order, for a domain with these `truths`.
        `threads` None means the event loop's own.

        Raises BatchTooLarge, InvalidRequest for too many bad rows or no item, and what reading the
        rows raises.
        """
        items = bad_rows = 0
        loop, iterator = asyncio.get_running_loop(), iter(rows)
        while group := await loop.run_in_executor(threads, _group, iterator):
            good: list[Row] = []
            bad: list[Unusable] = []
            for row in group:
                unusable = row if isinstance(row, Unusable) else self._unusable(row, truths)
                if unusable is not None:
                    bad.append(unusable)
                elif isinstance(row, Row):
                    good.append(row)
            items += len(good)
            bad_rows += len(bad)
            if items > self.settings.max_items:
                raise BatchTooLarge(f"A batch has at most {self.settings.max_items:,} items.")
            if bad_rows > MAX_BAD_ROWS:
                raise InvalidRequest(f"More than {MAX_BAD_ROWS:,} rows are no items.")
            yield good, bad
        if not items:
            raise InvalidRequest("There is no item in it.")

    def _unusable(self, row: Row, truths: frozenset[str]) -> Unusable | None:
        if row.expected is not None and row.expected not in truths:
            reason = f"expected: {row.expected[:100]!r} is no class of the domain"
            return Unusable(row.place, reason)
        if isinstance(row.picture, str) and not _is_web(row.picture):
            return self._no_place(row.place, row.picture)
        if isinstance(row.picture, bytes) and not row.picture:
            return Unusable(row.place, "is empty")
        return None

    def _no_place(self, place: str, uri: str) -> Unusable | None:
        if not self.allowed.prefixes:
            return Unusable(place, "image_url: is no http or https URL")
        try:
            self.allowed.judge(uri)
        except UrlRefused as error:
            return Unusable(place, f"image_url: {error}")
        return None


def source_of(text: str) -> ImageSource:
    """The source for a row's URL or storage URI, or for the digest under which an upload waits."""
    if text.startswith(DIGEST):
        return Stored(text.removeprefix(DIGEST))
    return Url(text) if text.lower().startswith(("http://", "https://")) else InStorage(text)


def _group(rows: Iterator[Row | Unusable]) -> list[Row | Unusable]:
    group: list[Row | Unusable] = []
    held = 0
    for row in islice(rows, TAKEN_AT_ONCE):
        group.append(row)
        held += len(row.picture) if isinstance(row, Row) else 0
        if held > TAKEN_BYTES:
            break
    return group


def _is_web(url: str) -> bool:
    if any(ord(sign) <= 32 for sign in url):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
