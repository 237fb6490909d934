"""Fingerprints that recognise pictures: by the same bytes, or by nearly the same look."""

import hashlib

import numpy as np
from PIL import Image


def sha256(data: bytes) -> str:
    """In hex. For long input the interpreter lock is released: call it in a thread."""
    return hashlib.sha256(data).hexdigest()


def difference_hash(picture: Image.Image) -> int:
    """64 bits, one for each of 8 x 8 places: is it brighter than its left neighbour?

    Survives scaling, compression and small changes of light: near duplicates differ in few bits.
    After Krawetz, "Kind of Like That", 2013.
    """
    grey = picture.convert("L").resize((9, 8), Image.Resampling.BOX)
    values = np.asarray(grey).astype(np.int16)
    return int.from_bytes(np.packbits(values[:, 1:] > values[:, :-1]).tobytes())
