"""Packages shown on pages of docs/: written to files as shown, and installed."""

import subprocess
import sys
from pathlib import Path

from tests.documentation import blocks


def installed(page: str, folder: Path) -> Path:
    """Install it where Python finds it; return the folder for its path."""
    source, target = folder / "source", folder / "site"
    source.mkdir(parents=True)
    for block in blocks(page):
        if block.language in ("toml", "python") and block.file:
            (source / Path(block.file).name).write_text(block.text)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    alone = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, *alone, "--target", target, source], check=True, timeout=100)
    return target


def shown(page: str, language: str) -> str:
    """The page's first block of this language."""
    return next(each.text for each in blocks(page) if each.language == language)
