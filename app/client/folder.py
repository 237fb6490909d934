"""A folder, scanned before any of it is classified."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from app.errors import ClassifierError, ImageUnreadable
from app.picture_files import BEGIN, files_below, is_named_like_picture, looks_like_picture
from app.result import Failure

LONGEST_NAME = 255
"""The maximum for an item's name, and for a name in an archive."""

NOT_IN_AN_ARCHIVE = re.compile(r"[\x00-\x1f\\:]|%(?=[0-9A-Fa-f]{2})")
NO_CHARACTER = re.compile("[\ud800-\udfff]")
"""How Python represents bytes of a name that are not UTF-8."""


@dataclass(frozen=True, slots=True)
class PictureFile:
    """
    Attributes:
        name: its path in the folder, with slashes.
        sent_as: its name in the batch: the same where possible.
    """

    path: Path
    name: str
    sent_as: str
    size: int


@dataclass(frozen=True, slots=True)
class Folder:
    """
    Attributes:
        names: of all files except hidden ones, in their order.
        pictures: those to be classified.
        failures: by name, files that should be pictures and are not.
        skipped: by name, why any other file is not a picture.
    """

    path: Path
    names: list[str] = field(default_factory=list)
    pictures: list[PictureFile] = field(default_factory=list)
    failures: dict[str, Failure] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, but_for: Path | None = None) -> "Folder":
        """Scan a folder, reading the first bytes of each file, except for files in the folder
        `but_for`. Raises NotADirectoryError."""
        if not path.is_dir():
            raise NotADirectoryError(f"{path} is no folder.")
        folder = cls(path)
        for each in files_below(path, but_for):
            folder._add(each)
        return folder

    def _add(self, path: Path) -> None:
        name = _readable(path.relative_to(self.path).as_posix())
        self.names.append(name)
        try:
            with path.open("rb") as file:
                begin = file.read(BEGIN)
            size = path.stat().st_size
        except OSError as error:
            self.failures[name] = failure(f"The file can't be read: {error.strerror}.")
            return
        if looks_like_picture(begin):
            self.pictures.append(PictureFile(path, name, _sent_as(name), size))
        elif is_named_like_picture(name):
            self.failures[name] = failure("The file is no picture of a kind that can be read.")
        else:
            self.skipped[name] = "is no picture"

    def groups(self, *, files: int, size: int) -> Iterator[list[PictureFile]]:
        """Yield the pictures in their order, in groups of at most `files` files and `size` bytes; a
        larger file forms a group of its own."""
        group: list[PictureFile] = []
        held = 0
        for each in self.pictures:
            if group and (len(group) == files or held + each.size > size):
                yield group
                group, held = [], 0
            group.append(each)
            held += each.size
        if group:
            yield group


def failure(detail: str, kind: type[ClassifierError] = ImageUnreadable) -> Failure:
    return Failure.of(kind(detail))


def _readable(name: str) -> str:
    return NO_CHARACTER.sub(lambda each: f"%{ord(each[0]) & 0xFF:02X}", name)


def _sent_as(name: str) -> str:
    """Percent-encodes, as in URLs, what an archive must not contain."""
    sent = NOT_IN_AN_ARCHIVE.sub(lambda each: f"%{ord(each[0]):02X}", name)
    if not is_named_like_picture(sent):
        folder, slash, last = sent.rpartition("/")
        sent = folder + slash + "%2E".join(last.rsplit(".", 1))  # `.zip` would be an archive
    if len(sent) > LONGEST_NAME:
        digest = hashlib.sha256(sent.encode()).hexdigest()
        sent = f"{sent[: LONGEST_NAME - 21]}~{digest[:20]}"
    return sent
