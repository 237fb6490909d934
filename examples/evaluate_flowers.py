"""The run that this project was first promised with: 40 flower photographs, 10 a class.

    python examples/evaluate_flowers.py FOLDER

FOLDER holds `daisy/`, `dandelion/`, `rose/`, `sunflower/` with at least 10 photographs each. Who
answers is up to the settings: Azure OpenAI where it is configured, else the local model. That one
was taught with photographs of TensorFlow's flower_photos: on those its figure says nothing.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CLASSES = ("daisy", "dandelion", "rose", "sunflower")
A_CLASS = 10


def main(folder: Path) -> int:
    with tempfile.TemporaryDirectory() as chosen:
        for name in CLASSES:
            photographs = sorted((folder / name).glob("*.jpg"))[:A_CLASS]
            if len(photographs) < A_CLASS:
                sys.exit(f"{folder / name} holds {len(photographs)} photographs, not {A_CLASS}")
            (Path(chosen) / name).mkdir()
            for photograph in photographs:
                shutil.copy(photograph, Path(chosen) / name)
        command = [sys.executable, "-m", "app", "evaluate", chosen, "--domain", "flowers"]
        return subprocess.run(command, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
