"""Bytes that are too large for a row, found by their digest."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
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

    async def get(self, digest: str) -> bytes:
        """Raises BlobNotFound, StorageUnavailable."""
        data: bytes = await self._run(self._get, digest)
        return data

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)

    async def _run(self, work: Any, argument: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, argument)
        except OSError as error:
            raise StorageUnavailable(f"Pictures can't be kept: {error.strerror}.") from error

    def _put(self, data: bytes) -> str:
        digest = sha256(data).hexdigest()
        files, folder = self._files()
        path = _path(folder, digest)
        if not files.exists(path):
            # Whole or not at all: a process may die in between.
            files.makedirs(path.rpartition("/")[0], exist_ok=True)
            unfinished = f"{path}.{new_id('tmp')}"
            files.pipe_file(unfinished, data)
            files.mv(unfinished, path)
        return digest

    def _get(self, digest: str) -> bytes:
        files, folder = self._files()
        try:
            data: bytes = files.cat_file(_path(folder, digest))
        except FileNotFoundError:
            raise BlobNotFound("The picture is not kept any more.") from None
        return data

    def _files(self) -> tuple[Any, str]:
        if self._opened is None:
            # Not before there is something to keep: the import takes its time.
            from fsspec.core import url_to_fs  # type: ignore[import-untyped]

            try:
                self._opened = url_to_fs(self._url)
            except (ImportError, ValueError) as error:
                raise ConfigurationError(f"BLOBS_URL: {error}") from error
        return self._opened


def _path(folder: str, digest: str) -> str:
    return f"{folder}/{digest[:2]}/{digest}"
