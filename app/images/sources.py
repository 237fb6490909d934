"""Where a picture comes from: an upload, base64 text, a URL, a storage URI."""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.egress import EgressClient
from app.errors import InvalidRequest, UploadTooLarge, UrlTooLarge
from app.images.workers import ImageWorkers
from app.storage import BlobStore, ObjectStore

T = TypeVar("T", bytes, str)

WHITE_SPACE = b" \t\r\n\f\v"

_DATA_URL = re.compile(r"data:image/[a-z0-9.+-]+(;[a-z0-9=.+-]+)*;base64,", re.IGNORECASE)


class _OneTime(Generic[T]):
    def __init__(self, held: T) -> None:
        self._held: T | None = held

    def peek(self) -> T:
        if self._held is None:
            raise RuntimeError("this source was read before")
        return self._held

    def take(self) -> T:
        held, self._held = self.peek(), None
        return held


class Upload(_OneTime[bytes]):
    """The picture's bytes. They are read once and released then, so that a request that waits for
    an answer holds no upload."""


class Base64Text(_OneTime[str]):
    """Plain base64, or a data URL. It is read once, too."""


@dataclass(frozen=True, slots=True)
class Url:
    url: str


@dataclass(frozen=True, slots=True)
class Stored:
    """An upload that waits in the blob store, under its digest or a name."""

    name: str

    @property
    def is_digest(self) -> bool:
        """SHA-256 in hex."""
        return len(self.name) == 64


@dataclass(frozen=True, slots=True)
class InStorage:
    """A picture that lies in an object store or a folder, and stays there."""

    uri: str


ImageSource = Upload | Base64Text | Url | Stored | InStorage

Load = Callable[[], bytes]


class ImageReader:
    """Reads a picture's bytes, at most `max_bytes` of them."""

    def __init__(
        self,
        egress: EgressClient,
        workers: ImageWorkers,
        blobs: BlobStore,
        objects: ObjectStore,
        *,
        max_bytes: int,
    ) -> None:
        self._egress = egress
        self._blobs = blobs
        self._objects = objects
        self._workers = workers
        self._max_bytes = max_bytes

    async def read(self, source: ImageSource) -> bytes:
        """Raises InvalidRequest, UploadTooLarge, UrlRefused, UrlUnreachable, UrlTooLarge,
        BlobNotFound, StorageUnavailable."""
        match source:
            case Upload():
                return self._bounded(source.take())
            case Base64Text():
                return self._bounded(await self._workers.run(decode_base64, source.take()))
            case Url(url):
                return await self._fetch(url)
            case Stored(name):
                return self._bounded(await self._blobs.get(name))
            case InStorage(uri):
                return await self._objects.get(uri, max_bytes=self._max_bytes)

    async def loader(self, source: ImageSource) -> Load:
        """A function that gives a worker thread the bytes. They are read here, but from a disk in
        that thread: that takes less time than a switch of threads. Both raise what `read`
        raises."""
        if isinstance(source, Stored) and self._blobs.on_disk:
            return lambda: self._bounded(self._blobs.get_here(source.name))
        data = await self.read(source)
        return lambda: data

    def _bounded(self, data: bytes) -> bytes:
        if len(data) > self._max_bytes:
            raise UploadTooLarge(f"The picture is larger than {self._max_bytes:,} bytes.")
        return data

    async def _fetch(self, url: str) -> bytes:
        try:
            return (await self._egress.get(url, max_bytes=self._max_bytes)).content
        except UrlTooLarge:
            raise UrlTooLarge(
                f"What the URL holds is larger than {self._max_bytes:,} bytes."
            ) from None


def decode_base64(text: str) -> bytes:
    """Raises InvalidRequest. White space is allowed, other characters outside of base64 are not."""
    prefix = _DATA_URL.match(text)
    if prefix:
        text = text[prefix.end() :]
    elif text[:5].lower() == "data:":
        raise InvalidRequest("image_base64: a data URL must be `data:image/...;base64,...`.")
    try:
        return base64.b64decode(text.encode("ascii").translate(None, WHITE_SPACE), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest("image_base64: this is not base64.") from None
