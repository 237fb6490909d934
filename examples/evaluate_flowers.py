"""The run that this project was first promised with: 40 flower photographs, 10 a class.

    python examples/evaluate_flowers.py FOLDER [REPORT]

FOLDER holds `daisy/`, `dandelion/`, `rose/`, `sunflower/` with at least 10 photographs each; where
it holds `tulips/`, 10 of those are shown too, which are none of the classes. Who answers is up to
the settings: Azure OpenAI where it is configured, else the local model. That one was taught with
photographs of TensorFlow's flower_photos: on those its figure says nothing.

REPORT, `flowers` unless it is given, is written twice: REPORT.html for people, REPORT.json for
programs and to compare a later run with (`python -m app evaluate ... --compare REPORT.json`).
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CLASSES = ("daisy", "dandelion", "rose", "sunflower")
A_CLASS = 10


def main(folder: Path, report: str = "flowers") -> int:
    with tempfile.TemporaryDirectory() as chosen:
        for name in CLASSES:
            photographs = sorted((folder / name).glob("*.jpg"))[:A_CLASS]
            if len(photographs) < A_CLASS:
                sys.exit(f"{folder / name} holds {len(photographs)} photographs, not {A_CLASS}")
            copy(photographs, Path(chosen) / name)
        if tulips := sorted((folder / "tulips").glob("*.jpg"))[:A_CLASS]:
            copy(tulips, Path(chosen) / "none")
        command = [sys.executable, "-m", "app", "evaluate", chosen, "--domain", "flowers"]
        command += ["--html", f"{report}.html", "--json", f"{report}.json"]
        return subprocess.run(command, check=False).returncode  # noqa: S603


def copy(photographs: list[Path], to: Path) -> None:
    to.mkdir()
    for photograph in photographs:
        shutil.copy(photograph, to)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
