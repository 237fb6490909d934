"""Bytes that are too large for a row, found by their digest, or by a name."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from threading import Lock
from typing import Any

from app.errors import BlobNotFound, ConfigurationError
from app.identifiers import new_id
from app.storage.filesystems import check_scheme, mapped

THREADS = 4

FRESH_FOR = timedelta(minutes=30)
"""What was put longer ago is put anew when it comes again: it may be about to be removed."""

REMOVED_AT_ONCE = 50
"""By one thread, of which there are few, and which a stopping process waits for."""

FOLDER_LETTERS = 2

_OURS = re.compile(r"([0-9a-f]{64}|cls_[0-9A-Z]{26})(\.tmp_[0-9A-Z]{26})?")
"""A folder may hold what is not."""


class BlobStore:
    """In a folder or in memory here, or wherever fsspec reaches (`abfs://`, `s3://`)."""

    def __init__(self, url: str) -> None:
        """`file:///data/blobs`, `memory://blobs`, `s3://bucket/path`. Raises ConfigurationError
        when the library for it is missing."""
        scheme, found, _ = url.rpartition("::")[2].partition("://")
        scheme = scheme if found else "file"
        check_scheme(scheme, "BLOBS_URL")
        self.on_disk = scheme == "file"
        self._url = url.rstrip("/")
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")
        self._opened: tuple[Any, str] | None = None
        self._renewing = Lock()

    async def put(self, data: bytes) -> str:
        """The digest, SHA-256 in hex, under which `data` is found, for half an hour at least
        whoever removes old ones. Raises StorageUnavailable."""
        digest: str = await self._run(self._put, data)
        return digest

    async def put_as(self, name: str, data: bytes) -> None:
        """Under a name that is used for nothing else. Raises StorageUnavailable."""
        await self._run(self._write, name, data)

    async def get(self, name: str) -> bytes:
        """By digest or name. Raises BlobNotFound, StorageUnavailable."""
        data: bytes = await self._run(self._get, name)
        return data

    def get_here(self, name: str) -> bytes:
        """`get` in the caller's thread, which may wait for the store."""
        with _told():
            return self._get(name)

    async def delete(self, name: str) -> None:
        """Nothing happens when it is not there. Raises StorageUnavailable."""
        await self._run(self._delete, name)

    async def old(self, before: datetime) -> AsyncIterator[list[str]]:
        """Names of all that was put before then, a two hundred and fiftieth of them at a time; of
        what is unfinished, too. Raises StorageUnavailable."""
        for folder in await self._run(self._folders):
            if names := await self._run(self._old, folder, before):
                yield names

    async def remove(self, names: Sequence[str], before: datetime) -> int:
        """But not what was put again since then; returns how many. Raises StorageUnavailable."""
        count = 0
        for first in range(0, len(names), REMOVED_AT_ONCE):
            some = names[first : first + REMOVED_AT_ONCE]
            count += await self._run(self._remove, some, before)
        return count

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)

    async def _run(self, work: Any, *arguments: Any) -> Any:
        with _told():
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def _put(self, data: bytes) -> str:
        digest = sha256(data).hexdigest()
        files, folder = self._files()
        try:
            age = datetime.now(UTC) - _put_at(files.info(_path(folder, digest)))
        except FileNotFoundError:
            self._write(digest, data)
        else:
            if age > FRESH_FOR:
                with self._renewing:
                    self._write(digest, data)
        return digest

    def _write(self, name: str, data: bytes) -> None:
        """Whole or not at all: a process may die in between."""
        files, folder = self._files()
        path = _path(folder, name)
        files.makedirs(path.rpartition("/")[0], exist_ok=True)
        unfinished = f"{path}.{new_id('tmp')}"
        files.pipe_file(unfinished, data)
        files.mv(unfinished, path)

    def _get(self, name: str) -> bytes:
        files, folder = self._files()
        try:
            data: bytes = files.cat_file(_path(folder, name))
        except FileNotFoundError:
            raise BlobNotFound("The picture is not kept any more.") from None
        return data

    def _delete(self, name: str) -> None:
        files, folder = self._files()
        with suppress(FileNotFoundError):
            files.rm_file(_path(folder, name))

    def _folders(self) -> list[str]:
        files, folder = self._files()
        try:
            found = files.ls(folder, detail=True)
        except FileNotFoundError:
            return []
        names = (each["name"].rstrip("/") for each in found if each["type"] == "directory")
        return [name for name in names if len(name.rpartition("/")[2]) == FOLDER_LETTERS]

    def _old(self, folder: str, before: datetime) -> list[str]:
        files, _ = self._files()
        try:
            found = files.ls(folder, detail=True)
        except FileNotFoundError:
            return []
        names = (each["name"].rpartition("/")[2] for each in found if _put_at(each) < before)
        return [name for name in names if _OURS.fullmatch(name)]

    def _remove(self, names: Sequence[str], before: datetime) -> int:
        return sum(self._remove_one(name, before) for name in names)

    def _remove_one(self, name: str, before: datetime) -> bool:
        files, folder = self._files()
        path = _path(folder, name)
        with suppress(FileNotFoundError), self._renewing:
            if _put_at(files.info(path)) >= before:
                return False
            if getattr(files, "local_file", False):
                return _remove_file(files, path, before)
            files.rm_file(path)
            return True
        return False

    def _files(self) -> tuple[Any, str]:
        if self._opened is None:
            # Not before there is something to keep: the import takes its time.
            from fsspec.core import url_to_fs  # type: ignore[import-untyped]

            try:
                # Other processes put and remove, too: what was seen once may be so no more.
                self._opened = url_to_fs(self._url, use_listings_cache=False)
            except (ImportError, ValueError) as error:
                raise ConfigurationError(f"BLOBS_URL: {error}") from error
        return self._opened


def _told() -> AbstractContextManager[None]:
    return mapped("Pictures can't be kept")


def _path(folder: str, name: str) -> str:
    """By the last letters: those of a ULID are the random ones."""
    whole = name.partition(".")[0]
    return f"{folder}/{whole[-FOLDER_LETTERS:]}/{name}"


def _remove_file(files: Any, path: str, before: datetime) -> bool:
    """Though another process may put it at this moment: moved aside, a file keeps its age, and one
    that is new is moved back."""
    aside = f"{path.partition('.tmp_')[0]}.{new_id('tmp')}"
    files.mv(path, aside)
    if _put_at(files.info(aside)) >= before:
        files.mv(aside, path)
        return False
    files.rm_file(aside)
    return True


def _put_at(info: dict[str, Any]) -> datetime:
    """As the several kinds of stores tell it; now, where one does not."""
    for key in ("mtime", "LastModified", "last_modified", "created"):
        moment = info.get(key)
        if isinstance(moment, datetime):
            return moment
        if isinstance(moment, int | float):
            return datetime.fromtimestamp(moment, UTC)
    return datetime.now(UTC)
