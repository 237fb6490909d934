"""Bytes that are too large for a row, found by their digest, or by a name."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from typing import Any

from app.errors import BlobNotFound, ConfigurationError, StorageUnavailable
from app.identifiers import new_id

THREADS = 4


class BlobStore:
    """In a folder or in memory here, or wherever fsspec reaches (`abfs://`, `s3://`)."""

    def __init__(self, url: str) -> None:
        """`file:///data/blobs`, `memory://blobs`, `s3://bucket/path`."""
        self._url = url.rstrip("/")
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")
        self._opened: tuple[Any, str] | None = None

    async def put(self, data: bytes) -> str:
        """The digest, SHA-256 in hex, under which `data` is found. Raises StorageUnavailable."""
        digest: str = await self._run(self._put, data)
        return digest

    async def put_as(self, name: str, data: bytes) -> None:
        """Under a name that is used for nothing else. Raises StorageUnavailable."""
        await self._run(self._write, name, data)

    async def get(self, name: str) -> bytes:
        """By digest or name. Raises BlobNotFound, StorageUnavailable."""
        data: bytes = await self._run(self._get, name)
        return data

    async def delete(self, name: str) -> None:
        """Nothing happens when it is not there. Raises StorageUnavailable."""
        await self._run(self._delete, name)

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)

    async def _run(self, work: Any, *arguments: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        except OSError as error:
            raise StorageUnavailable(f"Pictures can't be kept: {error.strerror}.") from error

    def _put(self, data: bytes) -> str:
        digest = sha256(data).hexdigest()
        files, folder = self._files()
        if not files.exists(_path(folder, digest)):
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

    def _files(self) -> tuple[Any, str]:
        if self._opened is None:
            # Not before there is something to keep: the import takes its time.
            from fsspec.core import url_to_fs  # type: ignore[import-untyped]

            try:
                self._opened = url_to_fs(self._url)
            except (ImportError, ValueError) as error:
                raise ConfigurationError(f"BLOBS_URL: {error}") from error
        return self._opened


def _path(folder: str, name: str) -> str:
    """By the last letters: those of a ULID are the random ones."""
    return f"{folder}/{name[-2:]}/{name}"
