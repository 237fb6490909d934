"""Which files are pictures, before any is decoded."""

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
"""Begins the reason why a file is not taken for its size."""


def too_large(max_bytes: int) -> str:
    """Why a file of more bytes is not taken."""
    return f"{TOO_LARGE} {max_bytes:,} bytes"


def looks_like_picture(data: bytes) -> bool:
    """By its first bytes. Whether it is one that can be read shows when it is decoded."""
    return data.startswith(BEGINNINGS) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def is_named_like_picture(name: str) -> bool:
    """By its suffix, also of a kind that can't be read."""
    return (KINDS.guess_type(PurePath(name).name, strict=False)[0] or "").startswith("image/")


def files_below(folder: Path, but_for: Path | None = None) -> Iterator[Path]:
    """Those of its folders, too, in the order of their paths; hidden ones are passed over, and what
    is in the folder `but_for`."""
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
