"""Labelled pictures on disk: `FOLDER/<class>/*`; those in the folder `none` show no class."""

from collections.abc import Sequence
from pathlib import Path

from app.errors import InvalidRequest
from app.result import NONE

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})


def labelled_pictures(folder: Path, labels: Sequence[str] | None = None) -> list[tuple[Path, str]]:
    """Paths with their true class, sorted. Raises InvalidRequest when a folder is not named like
    one of `labels`, where these are known."""
    if not folder.is_dir():
        raise InvalidRequest(f"{folder} is not a folder.")
    found: list[tuple[Path, str]] = []
    for each in sorted(path for path in folder.iterdir() if path.is_dir()):
        if labels is not None and each.name not in (*labels, NONE):
            raise InvalidRequest(
                f"{each} is none of the domain's classes ({', '.join(labels)}) and not {NONE!r}."
            )
        found += [(path, each.name) for path in pictures_below(each)]
    if not found:
        raise InvalidRequest(f"{folder} holds no pictures: they are expected in {folder}/CLASS/.")
    return found


def as_text(path: Path | str) -> str:
    """A file's name as text: what can't be decoded is replaced."""
    return str(path).encode(errors="surrogateescape").decode(errors="replace")


def pictures_below(folder: Path) -> list[Path]:
    """The pictures in the folder itself, not in its subfolders, sorted."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
