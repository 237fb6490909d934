"""Reads the pictures in a ZIP. A broken or malicious archive is refused as a whole."""

import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

from app.batches.rows import Row, Unusable
from app.errors import ArchiveRefused
from app.picture_files import looks_like_picture, too_large

MAX_RATIO = 200
"""Unpacked over packed size of an entry. Pictures are compressed already; a BMP of a single colour
gets near this ratio."""

MAX_ENTRIES, MAX_DIRECTORY_BYTES = 65_535, 32_000_000
ENTRIES, DIRECTORY_BYTES = 4, 5
"""Where zipfile's reader of the end record has these two numbers."""

SMALL = 1_000_000
"""Bytes of an entry that may have any ratio."""

ARCHIVES = (".zip", ".jar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
NO_PICTURES = ("__MACOSX/", ".DS_Store", "Thumbs.db")


def read_archive(
    file: BinaryIO,
    *,
    label: Callable[[str], str | None],
    max_items: int,
    max_bytes: int,
    max_total: int,
) -> Iterator[Row | Unusable]:
    """The archive's pictures, by their names in it. `label` gives the true class that a folder's
    name stands for.

    `max_bytes` bounds one picture, `max_total` all of them, unpacked. Raises ArchiveRefused; for
    whatever the directory shows, before the first row.
    """
    try:
        _check_directory(file)
        with zipfile.ZipFile(file) as archive:
            entries = [each for each in archive.infolist() if not each.is_dir()]
            _check(archive, entries, max_items=max_items, max_total=max_total)
            for entry in entries:
                if not is_litter(entry.filename):
                    yield _row(archive, entry, label, max_bytes)
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        EOFError,
        ValueError,
        OSError,
        struct.error,
    ) as error:
        raise ArchiveRefused(f"The archive can't be read: {error}") from None
    except zlib.error:
        raise ArchiveRefused("The archive holds what can't be unpacked.") from None


def _check_directory(file: BinaryIO) -> None:
    """Checked before zipfile makes an object for each entry, folders included."""
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end is None:
        raise zipfile.BadZipFile("it has no directory")
    if end[ENTRIES] > MAX_ENTRIES or end[DIRECTORY_BYTES] > MAX_DIRECTORY_BYTES:
        raise ArchiveRefused(f"The archive has more than {MAX_ENTRIES:,} entries.")
    file.seek(0)


def _check(
    archive: zipfile.ZipFile,
    entries: list[zipfile.ZipInfo],
    *,
    max_items: int,
    max_total: int,
) -> None:
    if not entries:
        raise ArchiveRefused("The archive is empty.")
    if len(entries) > max_items:
        raise ArchiveRefused(f"The archive has more than {max_items:,} entries.")
    if sum(each.file_size for each in entries) > max_total:
        raise ArchiveRefused(f"The archive unpacks to more than {max_total:,} bytes.")
    names = set()
    for entry in entries:
        _check_entry(entry)
        if entry.filename in names:
            raise ArchiveRefused("The archive has one name twice.")
        names.add(entry.filename)
    _check_places(archive, entries)


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    if entry.flag_bits & 0x1:
        raise ArchiveRefused("The archive is encrypted.")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ArchiveRefused("The archive is packed in a way that can't be bounded: use deflate.")
    parts = PurePosixPath(name).parts
    if (
        name.startswith(("/", "\\"))
        or ".." in parts
        or "\\" in entry.orig_filename
        or ":" in name
        or any(ord(sign) < 32 for sign in entry.orig_filename)
        or len(name) > 255
    ):
        raise ArchiveRefused("The archive has names that lead out of it, or are none.")
    if name.lower().endswith(ARCHIVES):
        raise ArchiveRefused("The archive holds another archive.")
    mode = entry.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise ArchiveRefused("The archive holds what is no file.")
    if entry.file_size > SMALL and entry.file_size > MAX_RATIO * max(1, entry.compress_size):
        raise ArchiveRefused(f"The archive holds what unpacks to {MAX_RATIO} times its size.")


def _check_places(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    """Each byte may belong to one entry only: otherwise a small file could unpack to any size."""
    end = 0
    for entry in sorted(entries, key=lambda each: each.header_offset):
        if entry.header_offset < end:
            raise ArchiveRefused("The archive's entries overlap.")
        end = entry.header_offset + entry.compress_size
    if end > archive.start_dir:
        raise ArchiveRefused("The archive's entries overlap its directory.")


def is_litter(name: str) -> bool:
    """Whether this is a file that operating systems leave beside pictures."""
    return name.startswith(NO_PICTURES[0]) or name.rpartition("/")[2] in NO_PICTURES[1:]


def _row(
    archive: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    label: Callable[[str], str | None],
    max_bytes: int,
) -> Row | Unusable:
    name = entry.filename
    if entry.file_size > max_bytes:
        return Unusable(name, too_large(max_bytes))
    with archive.open(entry) as unpacked:
        data = unpacked.read(max_bytes + 1)
    if len(data) != entry.file_size:
        raise ArchiveRefused("The archive lies about the size of what it holds.")
    if data.startswith(b"PK\x03\x04"):
        raise ArchiveRefused("The archive holds another archive.")
    if not looks_like_picture(data):
        return Unusable(name, "is no picture")
    return Row(name, data, name, label(PurePosixPath(name).parent.name))
