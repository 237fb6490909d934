"""Labelled pictures on disk: `FOLDER/<class>/*`, where the folder `none` shows none of them."""

from collections.abc import Sequence
from pathlib import Path

from app.errors import InvalidRequest
from app.evaluation.report import NONE

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})


def labelled_pictures(folder: Path, labels: Sequence[str]) -> list[tuple[Path, str]]:
    """Paths with their true class, sorted. Raises InvalidRequest when a folder is no class."""
    if not folder.is_dir():
        raise InvalidRequest(f"{folder} is not a folder.")
    found: list[tuple[Path, str]] = []
    for each in sorted(path for path in folder.iterdir() if path.is_dir()):
        if each.name not in (*labels, NONE):
            raise InvalidRequest(
                f"{each} is none of the domain's classes ({', '.join(labels)}) and not {NONE!r}."
            )
        pictures = sorted(path for path in each.iterdir() if path.suffix.lower() in SUFFIXES)
        found += [(path, each.name) for path in pictures]
    if not found:
        raise InvalidRequest(f"{folder} holds no pictures: they are expected in {folder}/CLASS/.")
    return found
