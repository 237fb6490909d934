"""How large what is shipped is: the wheel, and the container image.

    python -m benchmarks.size [--json OUT]

Where `make image` built one, its size is told; else the sum of what the Dockerfile copies: the
installed packages of requirements.txt and requirements-postgres.txt, the code and its
configuration, without what is compiled of them and without Python's own image.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from benchmarks.report import Figure, parser, report
from tests.locks import locked
from tests.service import ROOT

MEGABYTE = 1_000_000
IMAGE = "enhanced-image-classifier"
MODEL = ROOT / "app" / "providers" / "local" / "data"
LOCKS = ("requirements.txt", "requirements-postgres.txt")
COPIED = ("app", "config", "LICENSE", "NOTICE")
LEAST = ("fastapi", "uvicorn")


def wheel() -> int:
    """Bytes of the wheel, as built here."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", name]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)  # noqa: S603
        (built,) = Path(name).glob("*.whl")
        return built.stat().st_size


def files(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    inside = [path] if path.is_file() else path.rglob("*")
    return sum(
        each.stat().st_size for each in inside if each.is_file() and "__pycache__" not in each.parts
    )


def installed(names: Iterable[str]) -> dict[str, Distribution]:
    """Those of the packages that are installed here: the others are for other systems."""
    found = {}
    for name in names:
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
    return found


def needed(names: Iterable[str]) -> set[str]:
    """The packages, and their dependencies."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in found and (here := installed([name])):
            found.add(name)
            wanted = map(Requirement, here[name].requires or ())
            left += [each.name for each in wanted if not each.marker or each.marker.evaluate()]
    return found


def of_packages(names: Iterable[str]) -> int:
    """Bytes."""
    return sum(
        Path(str(file.locate())).stat().st_size
        for each in installed(names).values()
        for file in each.files or ()
        if "__pycache__" not in file.parts and Path(str(file.locate())).exists()
    )


def image() -> int | None:
    """Bytes; None: no image was built here."""
    try:
        told = subprocess.run(  # noqa: S603
            ["docker", "image", "inspect", IMAGE, "--format", "{{.Size}}"],  # noqa: S607
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        return None
    return int(told.stdout) if told.returncode == 0 else None


def measure() -> dict[str, Any]:
    """Megabytes."""
    own = sum(files(ROOT / each) for each in COPIED)
    packages = {name for name, _ in locked((ROOT / each).read_text() for each in LOCKS)}
    return {
        "wheel": wheel() / MEGABYTE,
        "model": files(MODEL) / MEGABYTE,
        "copied": (own + of_packages(packages)) / MEGABYTE,
        "least": of_packages(needed(LEAST)) / MEGABYTE,
        "image": (size := image()) and size / MEGABYTE,
    }


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    yield Figure(
        name="wheel",
        value=found["wheel"],
        unit="MB",
        beside="the local model's files in it, unpacked",
        beside_value=found["model"],
    )
    yield Figure(
        name="what the container image adds to Python's, without compiled files",
        value=found["copied"],
        unit="MB",
        beside="FastAPI, uvicorn and what they need",
        beside_value=found["least"],
    )
    if found["image"]:
        yield Figure(name="container image", value=found["image"], unit="MB")


def main() -> None:
    options = parser(__doc__).parse_args()
    found = measure()
    report(found, options, figures(found))


if __name__ == "__main__":
    main()
