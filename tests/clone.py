"""A folder that resembles a clone as far as pages of the documentation use it, and the pictures
that they mention."""

import os
import shutil
import sys
from pathlib import Path

from PIL import Image

from tests.documentation import ROOT
from tests.shell import Shell

PHOTOGRAPHS = ROOT / "examples" / "images"
FLOWERS = ("daisy", "dandelion", "rose", "sunflower")
FOLDERS = {
    "few": range(5),
    "rest": range(5, 10),
    "taught": range(5),
    "asked": range(5, 10),
    "labelled": range(3),
    "many": range(26),
}
"""Cut from the same photographs: they only need to be distinguishable."""

TOMATO = "#b8281c"
FROM_ROOT = ("Makefile", "azure.env.example", "examples", "requirements.txt")


def make_pictures(folder: Path) -> None:
    shutil.copytree(PHOTOGRAPHS, folder / "images")
    for name in ("rose", "fork"):
        shutil.copy(PHOTOGRAPHS / f"{name}.jpg", folder)
    (folder / "pictures").mkdir()
    for flower in FLOWERS:
        shutil.copy(PHOTOGRAPHS / f"{flower}.jpg", folder / "pictures")
    shutil.copy(PHOTOGRAPHS / "rose.jpg", folder / "pictures" / "the same rose.jpg")
    shutil.make_archive(str(folder / "pictures"), "zip", folder / "pictures")
    for flower, other in zip(FLOWERS, FLOWERS[1:] + FLOWERS[:1], strict=True):
        _parts(flower, folder / "wrong" / other, range(10))
        for name, numbers in FOLDERS.items():
            _parts(flower, folder / name / flower, numbers)
    for name in ("few", "rest"):
        _parts("fork", folder / name / "none", FOLDERS[name])
    Image.new("RGB", (320, 240), TOMATO).save(folder / "tomato.png")


def make_clone(folder: Path, pictures: Path) -> dict[str, str]:
    """Make the clone and return the environment for working in it; it looks as if already
    installed."""
    folder.mkdir()
    for each in (*pictures.iterdir(), *(ROOT / name for name in FROM_ROOT)):
        (folder / each.name).symlink_to(each)
    (folder / ".venv").mkdir()
    for each in Path(sys.prefix).iterdir():
        if each.name != "runtime":
            (folder / ".venv" / each.name).symlink_to(each)
    (folder / ".venv" / "runtime").touch()
    shutil.copytree(ROOT / "config", folder / "config")
    shutil.copytree(pictures / "pictures", folder / "bucket" / "folder")
    (folder / "bucket" / "exports").mkdir()
    (folder / ".curlrc").write_text("silent\nshow-error\nfail-with-body\nmax-time = 60\n")
    environment = Shell(folder).environment(
        BATCH_SOURCES=f"file://{folder}/bucket/",
        DRAIN_DELAY="0",
        EXPORT_TARGETS=f"file://{folder}/bucket/",
        HOME=str(folder),
        NO_COLOR="1",
        PATH=f"{folder}/.venv/bin{os.pathsep}{os.environ['PATH']}",
        PIP_NO_BUILD_ISOLATION="0",
        PIP_NO_DEPS="1",
        PIP_NO_INDEX="1",
        PIP_TARGET=str(folder / "site"),
        PYTHONPATH=f"{folder}/site{os.pathsep}{ROOT}",
        TERM="xterm",
    )
    del environment["CONFIG_DIR"], environment["DATABASE_URL"]
    return environment


def _parts(name: str, folder: Path, numbers: range) -> None:
    folder.mkdir(parents=True)
    photograph = Image.open(PHOTOGRAPHS / f"{name}.jpg")
    width, height = photograph.size
    for number in numbers:
        left, top = number % 6 * width // 24, number // 6 * height // 24
        box = (left, top, left + width * 3 // 4, top + height * 3 // 4)
        photograph.crop(box).save(folder / f"{number}.jpg", quality=90)
