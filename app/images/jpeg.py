"""What a JPEG's header tells beyond what Pillow reads."""

from collections.abc import Mapping, Sequence

import numpy as np

EOI, SOS = 0xD9, 0xDA
"""Second bytes of markers; the first is 0xFF."""
_STANDALONE = {0x01, *range(0xD0, 0xD8)}

_LUMINANCE = 3_688
"""Sum of the luminance table of the JPEG standard (ITU T.81, annex K.1), which is quality 50."""


def count_scans(data: bytes) -> int:
    """How often a decoder has to go through the picture; 1 for most, about 10 for progressive.

    In a scan's data 0xFF is followed by 0x00 or a restart marker, so a scan header can't hide.
    """
    first = _first_scan(data)
    if first < 0:
        return 0
    bytes_of_scans = np.frombuffer(data, np.uint8, offset=first)
    markers = bytes_of_scans[np.flatnonzero(bytes_of_scans[:-1] == 0xFF) + 1]
    ends = np.flatnonzero(markers == EOI)
    return int(np.count_nonzero(markers[: ends[0] if ends.size else None] == SOS))


def _first_scan(data: bytes) -> int:
    """Where the first scan begins, past all segments, which may hold pictures of their own."""
    position = 2  # past the SOI
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return -1
        marker = data[position + 1]
        if marker == SOS:
            return position
        if marker in _STANDALONE or marker == 0xFF:
            position += 1 if marker == 0xFF else 2
            continue
        position += 2 + int.from_bytes(data[position + 2 : position + 4])
    return -1


def quality_of(tables: Mapping[int, Sequence[int]]) -> int | None:
    """The quality, 1 to 100, at which libjpeg would write these quantisation tables, about."""
    if not tables:
        return None
    scale = 100 * sum(tables[min(tables)]) / _LUMINANCE
    quality = 5_000 / scale if scale > 100 else (200 - scale) / 2
    return max(1, min(100, round(quality)))
