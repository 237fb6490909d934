"""Binary data too large for a row, stored by digest or by name."""

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
"""A blob older than this is written again when it is put again: it may be about to be removed."""

REMOVED_AT_ONCE = 50
"""Removed by one thread in one go; threads are few, and a stopping process waits for them."""

FOLDER_LETTERS = 2

_OURS = re.compile(r"([0-9a-f]{64}|cls_[0-9A-Z]{26})(\.tmp_[0-9A-Z]{26})?")
"""A folder may hold other files, too."""


class BlobStore:
    """In a local folder, in memory, or in any store fsspec reaches (`abfs://`, `s3://`)."""

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
        """Returns the digest (SHA-256, hex) under which `data` is found; it stays for at least half
        an hour, even while old blobs are removed. Raises StorageUnavailable."""
        digest: str = await self._run(self._put, data)
        return digest

    async def put_as(self, name: str, data: bytes) -> None:
        """`name` must not be used for anything else. Raises StorageUnavailable."""
        await self._run(self._write, name, data)

    async def get(self, name: str) -> bytes:
        """By digest or name. Raises BlobNotFound, StorageUnavailable."""
        data: bytes = await self._run(self._get, name)
        return data

    def get_here(self, name: str) -> bytes:
        """`get` in the calling thread, which may block on the store."""
        with _told():
            return self._get(name)

    async def delete(self, name: str) -> None:
        """A missing blob is not an error. Raises StorageUnavailable."""
        await self._run(self._delete, name)

    async def old(self, before: datetime) -> AsyncIterator[list[str]]:
        """Names of all blobs put before then, including unfinished ones, a two hundred and fiftieth
        of them at a time. Raises StorageUnavailable."""
        for folder in await self._run(self._folders):
            if names := await self._run(self._old, folder, before):
                yield names

    async def remove(self, names: Sequence[str], before: datetime) -> int:
        """Skips blobs that were put again since `before`; returns how many were removed. Raises
        StorageUnavailable."""
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
        """Atomic: the process may die at any point."""
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
            # Imported only when there is something to store: the import is slow.
            from fsspec.core import url_to_fs  # type: ignore[import-untyped]

            try:
                # Other processes put and remove blobs, too, so a cached listing may be stale.
                self._opened = url_to_fs(self._url, use_listings_cache=False)
            except (ImportError, ValueError) as error:
                raise ConfigurationError(f"BLOBS_URL: {error}") from error
        return self._opened


def _told() -> AbstractContextManager[None]:
    return mapped("Pictures can't be kept")


def _path(folder: str, name: str) -> str:
    """The folder is named after the last letters: those of a ULID are the random ones."""
    whole = name.partition(".")[0]
    return f"{folder}/{whole[-FOLDER_LETTERS:]}/{name}"


def _remove_file(files: Any, path: str, before: datetime) -> bool:
    """Safe against another process that puts the blob at this moment: a file keeps its age when it
    is moved aside, and is moved back if it is new."""
    aside = f"{path.partition('.tmp_')[0]}.{new_id('tmp')}"
    files.mv(path, aside)
    if _put_at(files.info(aside)) >= before:
        files.mv(aside, path)
        return False
    files.rm_file(aside)
    return True


def _put_at(info: dict[str, Any]) -> datetime:
    """Modification time under the key each kind of store uses; now, if it reports none."""
    for key in ("mtime", "LastModified", "last_modified", "created"):
        moment = info.get(key)
        if isinstance(moment, datetime):
            return moment
        if isinstance(moment, int | float):
            return datetime.fromtimestamp(moment, UTC)
    return datetime.now(UTC)
