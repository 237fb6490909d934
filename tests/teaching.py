"""Generated pictures that differ by class, for teaching: alike enough to learn a class from two."""

import numpy as np
from PIL import Image, ImageDraw

from tests.pictures import encoded

SIDE = 256
KINDS = ("stripes", "discs", "checks")


def picture(kind: str, seed: int, *, veil: float = 0.0) -> bytes:
    """A JPEG: a pattern whose colours, size and place vary between pictures, behind a `veil` of
    noise, 0 to 1."""
    random = np.random.default_rng([KINDS.index(kind), seed])
    colours = random.integers(0, 256, (2, 3))
    first, second = (tuple(each) for each in colours.tolist())
    image = Image.new("RGB", (SIDE, SIDE), first)
    draw, step = ImageDraw.Draw(image), int(random.integers(20, 44))
    offset = int(random.integers(0, step))
    for x in range(-step + offset, SIDE + step, step):
        if kind == "stripes":
            draw.rectangle((x, 0, x + step // 2, SIDE), fill=second)
            continue
        for y in range(-step + offset, SIDE + step, step):
            box = (x, y, x + step * 2 // 3, y + step * 2 // 3)
            if kind == "discs":
                draw.ellipse(box, fill=second)
            elif (x // step + y // step) % 2:
                draw.rectangle((x, y, x + step, y + step), fill=second)
    noise = random.integers(0, 256, (SIDE, SIDE, 3))
    mixed = np.asarray(image) * (1 - veil) + noise * veil
    return encoded(Image.fromarray(mixed.astype(np.uint8)), "JPEG", quality=90)
