"""Photographs of a folder, prepared by the very code that the service prepares them with."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from app.providers.local.model import CROP, SIDE
from app.square import square

_ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}


def list_photographs(folder: Path) -> list[Path]:
    """Return every photograph below `folder`, sorted by path."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS)
    if not found:
        raise SystemExit(f"no photographs in {folder}")
    return found


def read_pixels(path: Path) -> NDArray[np.uint8]:
    """Return what the model sees of one photograph: uint8 (224, 224, 3)."""
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGB")
    return np.asarray(square(upright, SIDE, CROP))
