"""How many pictures made bad on purpose are caught, and how many good ones are flagged.

    python -m benchmarks.quality FOLDER

Every photograph under FOLDER, at most 640 px, is spoilt in each way below, stored as a JPEG, and
prepared as the service does.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageFilter

from app.images import prepare
from app.images.quality import findings
from app.settings_groups import QualitySettings
from benchmarks.report import Figure, keep, parser
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


def photographs(folder: Path) -> Iterator[Image.Image]:
    for path in sorted(folder.rglob("*.jpg")):
        with Image.open(path) as file:
            picture = file.convert("RGB")
        picture.thumbnail((LONGEST, LONGEST))
        yield picture


def measure(pictures: list[Image.Image], flagged: Counter[str]) -> dict[str, Any]:
    """For each kind of damage, the shares that are detected, and of originals that are flagged."""
    total = len(pictures)
    return {
        name: {
            "caught": sum(kind in kinds(spoil(each), quality) for each in pictures) / total,
            "flagged": flagged[kind] / total,
        }
        for name, (kind, spoil, quality) in WAYS.items()
    }


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    for name, each in found.items():
        yield Figure(
            name=f"{name}: flagged",
            value=each["caught"],
            unit="%",
            better="higher",
            beside="originals flagged",
            beside_value=each["flagged"],
        )


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("folder", type=Path)
    options = arguments.parse_args()
    pictures = list(photographs(options.folder))
    flagged = Counter(kind for each in pictures for kind in kinds(each, QUALITY))
    found = measure(pictures, flagged)
    for name, each in found.items():
        print(
            f"{name}: {each['caught']:.1%} caught, {each['flagged']:.1%} of the originals flagged"
        )
    print(f"flagged originals by kind: {dict(flagged)} of {len(pictures)}")
    keep(figures(found), options)


if __name__ == "__main__":
    main()
