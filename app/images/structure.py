"""Bounds the number of pieces that a file consists of, before any decoder goes through it.

Pillow reads segments, chunks and blocks one by one, in Python: millions of empty ones would take
it a quarter of a minute and most of a gigabyte.
"""

import re

from app.errors import ImageUnreadable

MAX_PIECES = 20_000
"""JPEG segments or PNG chunks. Those who write single bytes of a thumbnail need 6,000."""
MAX_GIF_BLOCKS = 200_000
"""Of at most 255 bytes each: 20 MB of ordinary data are 80,000."""
MAX_JUNK = 65_536
"""Bytes between a JPEG's segments."""
MAX_SCANS = 1_000

_EOI, _SOS = 0xD9, 0xDA
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a segment."""
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""In a scan's data 0xFF is followed by 0x00 or a restart marker."""

_TRAILER, _EXTENSION, _IMAGE = 0x3B, 0x21, 0x2C


def count_scans(data: bytes) -> int | None:
    """How often a decoder has to go through a JPEG: 1 for most, about 10 for progressive ones.

    None for other formats, of which PNG and GIF are bounded here, too. Raises ImageUnreadable for
    more pieces than a picture has.
    """
    if data.startswith(b"\xff\xd8"):
        return _scans_of_jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        _bound_png(data)
    elif data.startswith((b"GIF87a", b"GIF89a")):
        _bound_gif(data)
    return None


def _scans_of_jpeg(data: bytes) -> int:
    """Continues where a decoder would: over junk, and past segments by the length they declare."""
    position, pieces, junk, scans = 2, 0, 0, 0
    while found := _MARKER.search(data, position):
        pieces += 1
        junk += found.start() - position
        marker, position = data[found.end() - 1], found.end()
        if marker == _EOI:
            break
        if pieces > MAX_PIECES or junk > MAX_JUNK or scans > MAX_SCANS:
            raise _too_many()
        if marker in _ALONE:
            continue
        position += max(2, int.from_bytes(data[position : position + 2]))
        if marker == _SOS:
            scans += 1
            end = _END_OF_SCAN.search(data, position)
            position = end.start() if end else len(data)
    if scans == 0:
        raise ImageUnreadable("The picture is broken or cut off.")
    return scans


def _bound_png(data: bytes) -> None:
    position, pieces = 8, 0
    while position + 8 <= len(data):
        pieces += 1
        if pieces > MAX_PIECES:
            raise _too_many()
        position += 12 + int.from_bytes(data[position : position + 4])


def _bound_gif(data: bytes) -> None:
    """Follows the blocks to the end, as far as that is possible."""
    position, pieces = 13 + _gif_colours(data, 10), 0
    while position < len(data) and data[position] != _TRAILER:
        introducer = data[position]
        if introducer == _EXTENSION:
            position += 2
        elif introducer == _IMAGE:
            position += 10 + _gif_colours(data, position + 9) + 1
        else:
            position, pieces = position + 1, pieces + 1  # junk, which a decoder skips
        in_block = introducer in (_EXTENSION, _IMAGE)
        while in_block and position < len(data):
            in_block = data[position] > 0
            position, pieces = position + 1 + data[position], pieces + 1
            if pieces > MAX_GIF_BLOCKS:
                raise _too_many()
        if pieces > MAX_GIF_BLOCKS:
            raise _too_many()


def _gif_colours(data: bytes, flags_at: int) -> int:
    """Length of a colour table in bytes, by the flags that describe it."""
    flags = data[flags_at] if flags_at < len(data) else 0
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0


def _too_many() -> ImageUnreadable:
    return ImageUnreadable("The file is in more pieces than a picture has.")
