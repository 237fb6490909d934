"""Packages that pages of docs/ show: written down as they stand there, and installed."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SHOWN = re.compile(r"`(?P<name>[\w.]+\.(?:toml|py))`:\n\n```\w+\n(?P<text>.*?)^```$", re.M | re.S)
"""A file's name, and then what it holds."""


def files_of(page: str) -> dict[str, str]:
    text = (ROOT / "docs" / page).read_text()
    return {each["name"]: each["text"] for each in SHOWN.finditer(text)}


def installed(page: str, folder: Path) -> Path:
    """Where a Python finds it: a folder for its path."""
    source, target = folder / "source", folder / "site"
    source.mkdir(parents=True)
    for name, text in files_of(page).items():
        (source / name).write_text(text)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    alone = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, *alone, "--target", target, source], check=True, timeout=100)
    return target


def shown(page: str, language: str) -> str:
    """The page's one block of this language."""
    text = (ROOT / "docs" / page).read_text()
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)
    return block
