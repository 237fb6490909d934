"""Tells which files are pictures before any is decoded."""

from collections.abc import Iterator
from mimetypes import MimeTypes
from pathlib import Path, PurePath

BEGINNINGS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
)
"""JPEG, PNG, GIF, BMP, TIFF."""

BEGIN = 16
"""Bytes that are enough for `looks_like_picture`."""

KINDS = MimeTypes()
"""Python's own table, not the machine's."""


TOO_LARGE = "is larger than"
"""Beginning of the reason why a file is refused for its size."""


def too_large(max_bytes: int) -> str:
    """The reason why a file of more bytes is refused."""
    return f"{TOO_LARGE} {max_bytes:,} bytes"


def looks_like_picture(data: bytes) -> bool:
    """Judged by its first bytes. Whether it can be read shows only when it is decoded."""
    return data.startswith(BEGINNINGS) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def is_named_like_picture(name: str) -> bool:
    """Judged by its suffix, including kinds of pictures that can't be read."""
    return (KINDS.guess_type(PurePath(name).name, strict=False)[0] or "").startswith("image/")


def files_below(folder: Path, but_for: Path | None = None) -> Iterator[Path]:
    """All files in the folder and its subfolders, in the order of their paths; hidden ones and
    those in the folder `but_for` are skipped."""
    own = _inside(folder, but_for)
    for each in sorted(folder.rglob("*")):
        inside = each.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if each.is_file() and not hidden and not (own and inside.is_relative_to(own)):
            yield each


def _inside(folder: Path, other: Path | None) -> Path | None:
    if other is None or not other.resolve().is_relative_to(folder.resolve()):
        return None
    return other.resolve().relative_to(folder.resolve())
