"""What labels do to a model that is surer than it is right, by the commands that a user has.

    python -m benchmarks.calibrated [--fresh 10000] [--json OUT]

`simulate` is the model, right four times of five, in a process of its own; `evaluate` asks it about
300 labelled pictures, `calibrate` fits what these say, and `evaluate` asks about fresh ones. Told
is their expected calibration error, of what the model said and of what was made of it.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.images import prepare
from benchmarks.report import Figure, parser, report
from tests.labelled import FLOWERS
from tests.pictures import encoded
from tests.service import ROOT
from tests.simulator_process import SimulatorProcess

LABELS = 300
RIGHT, SPREAD = 0.8, 0.4


def draw(count: int, folder: Path, seed: int) -> dict[str, str]:
    """Draw noise pictures into a folder for each class; return the class of each by its SHA-256 as
    a provider receives it."""
    random, truth = np.random.default_rng(seed), {}
    for number in range(count):
        label = FLOWERS[number % len(FLOWERS)]
        picture = encoded(Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)), "PNG")
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / label / f"{number}.png").write_bytes(picture)
        truth[hashlib.sha256(prepare(picture, longest=512).jpeg).hexdigest()] = label
    return truth


def command(*words: object, env: dict[str, str]) -> None:
    told = [sys.executable, "-m", "app", *map(str, words)]
    subprocess.run(told, cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL)  # noqa: S603


def evaluated(folder: Path, env: dict[str, str]) -> dict[str, Any]:
    out = folder.with_suffix(".json")
    command("evaluate", folder, "--domain", "flowers", "--json", out, env=env)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def measure(fresh: int, place: Path) -> dict[str, Any]:
    labelled, later = place / "labelled", place / "fresh"
    truth = draw(LABELS, labelled, 1) | draw(fresh, later, 2)
    (place / "truth.json").write_text(json.dumps(truth))
    simulator = SimulatorProcess(
        *("--deployment", "eyes:gpt-4o:600000:1000000000", "--latency", "0"),
        *("--accuracy", str(RIGHT), "--calibration", str(SPREAD)),
        *("--truth", str(place / "truth.json")),
    )
    env = os.environ | {
        "DATABASE_URL": f"sqlite:///{place}/app.db",
        "AZURE_OPENAI_ENDPOINT": simulator.url,
        "AZURE_OPENAI_API_KEY": "any",
        "AZURE_OPENAI_DEPLOYMENT": "eyes",
        "RATE_LIMIT_RPM": "600000",
    }
    try:
        before = evaluated(labelled, env)
        command("calibrate", "flowers", env=env)
        after = evaluated(later, env)
    finally:
        simulator.stop()
    return {
        "labels": before["n"],
        "fresh": after["calibrated"]["n"],
        "right": round(after["accuracy"], 4),
        "error_before": round(after["calibrated"]["ece_before"], 4),
        "error_after": round(after["calibrated"]["ece_after"], 4),
        "brier_of_labelled_before": round(before["brier"], 4),
        "brier_after": round(after["brier"], 4),
    }


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    yield Figure(
        name=f"calibration error of {found['fresh']:,} answers after {found['labels']} labels",
        value=found["error_after"],
        beside="before these",
        beside_value=found["error_before"],
    )


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--fresh", type=int, default=10_000)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = measure(arguments.fresh, Path(place))
    report(found, arguments, figures(found))


if __name__ == "__main__":
    main()
