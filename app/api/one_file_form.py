"""Forms of many files, which are kept in one file: a form of 10,000 pictures must neither fill the
memory nor take all file descriptors."""

import io
from threading import Lock
from typing import IO

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartParser

BUFFER = 4_096
"""Bytes of the buffer of each file that is read."""


class _Part(io.RawIOBase):
    """A file of a form: a section of the one file that holds all of them, one after the other."""

    def __init__(self, whole: IO[bytes], lock: Lock) -> None:
        self._whole = whole
        self._lock = lock
        self._begin: int | None = None
        self._size = 0
        self._place = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Works only as long as no later part has been written."""
        with self._lock:
            end = self._whole.seek(0, io.SEEK_END)
            if self._begin is None:
                self._begin = end
            self._whole.write(data)
        self._size += len(data)
        return len(data)

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        count = min(len(buffer), self._size - self._place)
        if count <= 0:
            return 0
        with self._lock:
            self._whole.seek((self._begin or 0) + self._place)
            found = self._whole.read(count)
        buffer[: len(found)] = found
        self._place += len(found)
        return len(found)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError("before the beginning")
        self._place = start + offset
        return self._place

    def tell(self) -> int:
        return self._place


class OneFileParser(MultiPartParser):
    """Parses a form, whose files may be read as long as `whole` is open, in any thread."""

    def __init__(self, request: Request, whole: IO[bytes], max_files: int, max_fields: int) -> None:
        super().__init__(
            request.headers, request.stream(), max_files=max_files, max_fields=max_fields
        )
        self._whole = whole
        self._lock = Lock()

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        if (upload := self._current_part.file) is not None:
            self._files_to_close_on_error.pop().close()
            upload.file = _Part(self._whole, self._lock)  # type: ignore[assignment]

    async def parse(self) -> FormData:
        """Raises MultiPartException for what is no form."""
        form = await super().parse()
        for _, each in form.multi_items():
            if isinstance(each, UploadFile):
                each.file = io.BufferedReader(each.file, BUFFER)  # type: ignore[type-var]
        return form
