"""How many pictures made bad on purpose are caught, and how many good ones are flagged.

    python -m benchmarks.quality FOLDER

Every photograph under FOLDER, at most 640 px, is spoilt in each way below, stored as a JPEG, and
prepared as the service does.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageFilter

from app.images import prepare
from app.images.quality import findings
from app.settings_groups import QualitySettings
from tests.pictures import encoded, times

LONGEST = 640
QUALITY = 90


def shrunk(picture: Image.Image) -> Image.Image:
    copy = picture.copy()
    copy.thumbnail((48, 48))
    return copy


WAYS: dict[str, tuple[str, Callable[[Image.Image], Image.Image], int]] = {
    "Gaussian blur of radius 4": (
        "blurred",
        lambda picture: picture.filter(ImageFilter.GaussianBlur(4)),
        QUALITY,
    ),
    "brightness x 0.15": ("too_dark", lambda picture: times(picture, 0.15), QUALITY),
    "brightness x 3, clipped": ("too_bright", lambda picture: times(picture, 3), QUALITY),
    "shrunk to 48 px": ("too_small", shrunk, QUALITY),
    "JPEG quality 5": ("heavily_compressed", lambda picture: picture, 5),
}


def kinds(picture: Image.Image, quality: int) -> set[str]:
    data = encoded(picture, "JPEG", quality=quality)
    return {each.kind for each in findings(prepare(data, longest=512).measures, QualitySettings())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    photographs = []
    for path in sorted(parser.parse_args().folder.rglob("*.jpg")):
        with Image.open(path) as file:
            picture = file.convert("RGB")
        picture.thumbnail((LONGEST, LONGEST))
        photographs.append(picture)
    total = len(photographs)
    flagged = Counter(kind for each in photographs for kind in kinds(each, QUALITY))
    for name, (kind, spoil, quality) in WAYS.items():
        caught = sum(kind in kinds(spoil(each), quality) for each in photographs)
        print(
            f"{name}: {caught / total:.1%} caught, "
            f"{flagged[kind] / total:.1%} of the originals flagged"
        )
    print(f"flagged originals by kind: {dict(flagged)} of {total}")


if __name__ == "__main__":
    main()
