"""Reads files: pictures, archives of pictures and lists of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO, Self

from app.batches.archive import ARCHIVES, read_archive
from app.batches.manifest import EXPECTED, read_csv, read_jsonl
from app.batches.rows import Row, Unusable
from app.domains import Domain
from app.errors import ArchiveRefused
from app.picture_files import files_below, looks_like_picture, too_large
from app.settings import Settings

JSON_LINES = (".jsonl", ".ndjson")
CSV = ".csv"
ZIP = ".zip"


@dataclass(frozen=True, slots=True)
class Files:
    """Reads files of a batch.

    Attributes:
        domain: whose classes the pictures show.
        expected_column: the column of a CSV that holds the true class.
        max_bytes: of a picture.
        max_upload: bytes of a list or an archive; an archive may unpack to ten times as much.
        max_items: of an archive.
        but_for: a folder to skip, where uploads wait for their batch.
    """

    domain: Domain
    expected_column: str
    max_bytes: int
    max_upload: int
    max_items: int
    but_for: Path | None

    @classmethod
    def of(cls, settings: Settings, domain: Domain, *, expected_column: str = EXPECTED) -> Self:
        return cls(
            domain,
            expected_column,
            max_bytes=settings.max_upload,
            max_upload=settings.batch.max_upload,
            max_items=settings.batch.max_items,
            but_for=settings.blobs_folder,
        )

    def rows(self, name: str, file: BinaryIO) -> Iterator[Row | Unusable]:
        """The rows of one file; its kind is recognised by its name, that of an archive also by its
        first bytes. Raises ArchiveRefused, and InvalidRequest for a list that can't be read."""
        name = PurePath(name).name
        suffix = PurePath(name).suffix.lower()
        if suffix in JSON_LINES:
            return read_jsonl(file, domain=self.domain.name)
        if suffix == CSV:
            return read_csv(file, domain=self.domain.name, expected_column=self.expected_column)
        begin = file.read(4)
        file.seek(0)
        if suffix == ZIP or begin == b"PK\x03\x04":
            return read_archive(
                file,
                label=self.label,
                max_items=self.max_items,
                max_bytes=self.max_bytes,
                max_total=10 * self.max_upload,
            )
        if suffix in ARCHIVES:
            raise ArchiveRefused("Of archives only ZIP is taken.")
        return self._picture(name, file)

    def folder(self, path: Path) -> Iterator[Row | Unusable]:
        """The pictures of a folder and its subfolders, called by their paths in it; hidden ones and
        those in `but_for` are skipped."""
        for each in files_below(path, but_for=self.but_for):
            # Names may be invalid text.
            name = str(each.relative_to(path)).encode("utf-8", "replace").decode()
            yield from self.picture(name, each)

    def picture(self, name: str, path: Path) -> Iterator[Row | Unusable]:
        """One file that should be a picture, called `name`; its folder may name the true class."""
        try:
            with path.open("rb") as file:
                yield from self._picture(name, file, expected=self.label(path.parent.name))
        except OSError as error:
            yield Unusable(name, f"can't be read: {error.strerror}")

    def label(self, folder_name: str) -> str | None:
        """The true class of a folder's pictures, if the folder is named after one."""
        return folder_name if folder_name in self.domain.truths else None

    def _picture(
        self, name: str, file: BinaryIO, *, expected: str | None = None
    ) -> Iterator[Row | Unusable]:
        name = name.replace("\0", "\N{REPLACEMENT CHARACTER}")
        data = file.read(self.max_bytes + 1)
        if len(data) > self.max_bytes:
            yield Unusable(name, too_large(self.max_bytes))
        elif not looks_like_picture(data):
            yield Unusable(name, "is no picture")
        else:
            yield Row(name, data, name[:255], expected)
