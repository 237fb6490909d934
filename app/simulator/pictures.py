"""The pictures of a prompt: what is read of them before their pixels are decoded."""

import binascii
import hashlib
import io
from dataclasses import dataclass

from PIL import Image

from app.simulator.errors import Unacceptable, invalid_picture, unreachable_picture

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""The exceptions that Pillow raises for bytes that are not a picture."""
LARGEST = 20_000_000
"""The maximum size of a picture in bytes."""
MARK = "truth="
"""The prefix of a JPEG comment that states what the picture shows."""


@dataclass(frozen=True, slots=True)
class Picture:
    """
    Attributes:
        data: the file.
        sha256: of the file, hex.
        marked: the class that a comment in the file declares.
    """

    data: bytes
    width: int
    height: int
    sha256: str
    marked: str | None = None

    @classmethod
    def read(cls, url: str) -> "Picture":
        """From a data URL. Raises Unacceptable: nothing is fetched from other URLs."""
        head, _, text = url.partition(",")
        if not head.startswith("data:image/"):
            raise Unacceptable(unreachable_picture(url[:200]))
        try:
            data = binascii.a2b_base64(text, strict_mode=True)
        except ValueError:
            raise Unacceptable(invalid_picture()) from None
        if len(data) > LARGEST:
            raise Unacceptable(invalid_picture())
        width, height, comment = _looked_up(data)
        marked = comment.removeprefix(MARK) if comment.startswith(MARK) else None
        return cls(data, width, height, hashlib.sha256(data).hexdigest(), marked)


def _looked_up(data: bytes) -> tuple[int, int, str]:
    """Width, height and comment, from the header alone. Raises Unacceptable."""
    try:
        opened = Image.open(io.BytesIO(data), formats=FORMATS)
    except UNREADABLE:
        raise Unacceptable(invalid_picture()) from None
    comment = opened.info.get("comment", b"")
    if isinstance(comment, bytes):
        comment = comment.decode("utf-8", "replace")
    return opened.width, opened.height, str(comment)
