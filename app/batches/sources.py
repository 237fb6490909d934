"""What files hold: pictures, archives and lists of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO

from app.batches.archive import ARCHIVES, read_archive
from app.batches.manifest import read_csv, read_jsonl
from app.batches.rows import Row, Unusable
from app.batches.taking_in import BatchOptions
from app.errors import ArchiveRefused
from app.picture_files import files_below, looks_like_picture
from app.settings import Settings

JSON_LINES = (".jsonl", ".ndjson")
CSV = ".csv"
ZIP = ".zip"


@dataclass(frozen=True, slots=True)
class Files:
    """Reads files of a batch.

    Attributes:
        truths: the domain's; folders may be called so.
    """

    settings: Settings
    options: BatchOptions
    truths: frozenset[str]

    def rows(self, name: str, file: BinaryIO) -> Iterator[Row | Unusable]:
        """Of one file, by its name, an archive by its first bytes. Raises ArchiveRefused, and
        InvalidRequest for a list that can't be read."""
        name = PurePath(name).name
        suffix = PurePath(name).suffix.lower()
        if suffix in JSON_LINES:
            return read_jsonl(file, domain=self.options.domain)
        if suffix == CSV:
            return read_csv(
                file, domain=self.options.domain, expected_column=self.options.expected_column
            )
        begin = file.read(4)
        file.seek(0)
        if suffix == ZIP or begin == b"PK\x03\x04":
            return read_archive(
                file,
                truths=self.truths,
                max_items=self.settings.batch.max_items,
                max_bytes=self.settings.max_upload,
                max_total=10 * self.settings.batch.max_upload,
            )
        if suffix in ARCHIVES:
            raise ArchiveRefused("Of archives only ZIP is taken.")
        return self._picture(name, file)

    def folder(self, path: Path) -> Iterator[Row | Unusable]:
        """Its pictures and those of its folders, by their paths in it; hidden ones are passed over,
        and those that wait for a batch."""
        for each in files_below(path, but_for=self.settings.blobs_folder):
            # Names may be in no character set.
            name = str(each.relative_to(path)).encode("utf-8", "replace").decode()
            yield from self.picture(name, each)

    def picture(self, name: str, path: Path) -> Iterator[Row | Unusable]:
        """One file that is to be a picture, called `name`; its folder may name the true class."""
        label = path.parent.name if path.parent.name in self.truths else None
        try:
            with path.open("rb") as file:
                yield from self._picture(name, file, expected=label)
        except OSError as error:
            yield Unusable(name, f"can't be read: {error.strerror}")

    def _picture(
        self, name: str, file: BinaryIO, *, expected: str | None = None
    ) -> Iterator[Row | Unusable]:
        name = name.replace("\0", "\N{REPLACEMENT CHARACTER}")
        data = file.read(self.settings.max_upload + 1)
        if len(data) > self.settings.max_upload:
            yield Unusable(name, f"is larger than {self.settings.max_upload:,} bytes")
        elif not looks_like_picture(data):
            yield Unusable(name, "is no picture")
        else:
            yield Row(name, data, name[:255], expected)
