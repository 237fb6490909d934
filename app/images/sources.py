"""Where a picture comes from: an upload, base64 text, a URL."""

import base64
import binascii
import re
from dataclasses import dataclass

from app.egress import EgressClient
from app.errors import InvalidRequest, UploadTooLarge, UrlTooLarge
from app.images.workers import ImageWorkers

WHITE_SPACE = b" \t\r\n\f\v"

_DATA_URL = re.compile(r"data:image/[a-z0-9.+-]+(;[a-z0-9=.+-]+)*;base64,", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Upload:
    data: bytes


@dataclass(frozen=True, slots=True)
class Base64Text:
    """Plain base64, or a data URL."""

    text: str


@dataclass(frozen=True, slots=True)
class Url:
    url: str


ImageSource = Upload | Base64Text | Url


class ImageReader:
    """Brings the bytes, at most `max_bytes` of them."""

    def __init__(self, egress: EgressClient, workers: ImageWorkers, *, max_bytes: int) -> None:
        self._egress = egress
        self._workers = workers
        self._max_bytes = max_bytes

    async def read(self, source: ImageSource) -> bytes:
        """Raises InvalidRequest, UploadTooLarge, UrlRefused, UrlUnreachable, UrlTooLarge."""
        match source:
            case Upload(data):
                return self._bounded(data)
            case Base64Text(text):
                return self._bounded(await self._workers.run(decode_base64, text))
            case Url(url):
                return await self._fetch(url)

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
    """Raises InvalidRequest. White space is allowed, other strange characters are not."""
    prefix = _DATA_URL.match(text)
    if prefix:
        text = text[prefix.end() :]
    elif text[:5].lower() == "data:":
        raise InvalidRequest("image_base64: a data URL must be `data:image/...;base64,...`.")
    try:
        return base64.b64decode(text.encode("ascii").translate(None, WHITE_SPACE), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest("image_base64: this is not base64.") from None
