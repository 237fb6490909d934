"""Object stores and folders, from which pictures, lists and archives are read, and to which exports
are written."""

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from app.errors import UrlRefused, UrlTooLarge, UrlUnreachable
from app.storage.filesystems import GONE, check_scheme, mapped, open_filesystem
from app.storage.listings import Found, entries_below
from app.storage.uris import AllowedUris, Location, lies_under
from app.whole_file import WholeFile

THREADS = 16

PATIENCE_S = 30.0
"""For one picture. The stores' clients retry for minutes, and would block other reads."""

COPIED_AT_ONCE = 8_000_000
"""Bytes of a list or an archive per read."""

UNREADABLE = "The store can't be read"


@dataclass(frozen=True, slots=True)
class _Opened:
    files: Any
    path: str
    size: int | None


class ObjectStore:
    """Reads and writes under the allowed URIs, through fsspec.

    Attributes:
        threads: where to call the blocking methods: all but `get`, `put` and `close`.
    """

    def __init__(self, allowed: AllowedUris) -> None:
        """Raises ConfigurationError when a library is missing."""
        for scheme in sorted(allowed.schemes):
            check_scheme(scheme, allowed.setting)
        self.allowed = allowed
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="objects")
        self._filesystems: dict[str, Any] = {}

    async def get(self, uri: str, *, max_bytes: int) -> bytes:
        """Raises UrlRefused, UrlUnreachable when nothing is there, UrlTooLarge,
        StorageUnavailable, ConfigurationError."""
        loop = asyncio.get_running_loop()
        with mapped(UNREADABLE):
            async with asyncio.timeout(PATIENCE_S):
                return await loop.run_in_executor(self.threads, self._get, uri, max_bytes)

    async def put(self, uri: str, file: Path) -> None:
        """Copy a file there atomically, replacing any that exists. Raises UrlRefused,
        StorageUnavailable, ConfigurationError."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self.threads, self._put, uri, file)

    async def close(self) -> None:
        """Without waiting for calls that still wait for a store."""
        self.threads.shutdown(wait=False, cancel_futures=True)

    def is_folder(self, uri: str) -> bool:
        """Raises as `get`, also when nothing is there."""
        place = self.allowed.judge(uri)
        with mapped(UNREADABLE):
            try:
                files, path = self._resolve(place)
                return bool(files.info(path)["type"] == "directory")
            except GONE:
                raise _nothing() from None

    def below(self, uri: str) -> Iterator[Found]:
        """All files under a folder, recursively, as they are listed: in pages, where the store has
        them. Raises as `get`."""
        place = self.allowed.judge(uri)
        with mapped(UNREADABLE):
            try:
                files, path = self._resolve(place)
                yield from entries_below(files, path, place)
            except GONE:
                raise _nothing() from None

    def copy(self, uri: str, into: BinaryIO, *, max_bytes: int) -> None:
        """Raises as `get`."""
        place = self.allowed.judge(uri)
        with mapped(UNREADABLE):
            try:
                opened = self._open(place, max_bytes)
                for start in range(0, opened.size or 0, COPIED_AT_ONCE):
                    end = min(start + COPIED_AT_ONCE, opened.size or 0)
                    into.write(opened.files.cat_file(opened.path, start=start, end=end))
            except GONE:
                raise _nothing() from None

    def _get(self, uri: str, max_bytes: int) -> bytes:
        place = self.allowed.judge(uri)
        with mapped(UNREADABLE):
            try:
                opened = self._open(place, max_bytes)
                if opened.size == 0:
                    return b""  # an empty file has no range to read
                data: bytes = opened.files.cat_file(opened.path, start=0, end=max_bytes + 1)
            except GONE:
                raise _nothing() from None
        if len(data) > max_bytes:
            raise _too_large(max_bytes)
        return data

    def _put(self, uri: str, file: Path) -> None:
        place = self.allowed.judge(uri)
        with mapped("The store can't be written"):
            files, path = self._resolve(place)
            if place.scheme != "file":
                files.put_file(str(file), path)  # visible only when it is complete
                return
            whole = Path(path)
            whole.parent.mkdir(parents=True, exist_ok=True)
            with WholeFile(whole) as unfinished:
                files.put_file(str(file), str(unfinished))

    def _open(self, place: Location, max_bytes: int) -> _Opened:
        """Checks the size before anything is read."""
        files, path = self._resolve(place)
        info = files.info(path)
        if info["type"] != "file":
            raise _nothing()
        size = info.get("size")
        if size is not None and size > max_bytes:
            raise _too_large(max_bytes)
        return _Opened(files, path, size)

    def _resolve(self, place: Location) -> tuple[Any, str]:
        """The filesystem and the path in it; for files, the real path: links may not lead
        outside."""
        path = place.path
        if place.scheme == "file":
            path = os.path.realpath(path)
            if not lies_under(path, os.path.realpath(place.root)):
                raise UrlRefused(f"The URI leads out of those that {self.allowed.setting} names.")
        if place.scheme not in self._filesystems:
            # Opened only when there is something to read: the import is slow.
            self._filesystems[place.scheme] = open_filesystem(place.scheme)
        return self._filesystems[place.scheme], path


def _nothing() -> UrlUnreachable:
    return UrlUnreachable("There is no file at the URI.")


def _too_large(max_bytes: int) -> UrlTooLarge:
    return UrlTooLarge(f"What the URI names is larger than {max_bytes:,} bytes.")
