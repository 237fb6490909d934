"""The list of all benchmarks, and how to run one in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Figure

ROOT = Path(__file__).resolve().parents[1]
IMAGES = "IMAGES"
"""In arguments, stands for the folder of photographs."""


@dataclass(frozen=True)
class Benchmark:
    """
    Attributes:
        area: the heading under which its figures appear.
        full: its arguments for figures to be published.
        quick: arguments for some of the same measurements in fewer rounds, whose ratios are
            compared; None: it takes too long, or varies too much.
        within_s: when it takes longer, it is considered stuck.
    """

    name: str
    area: str
    full: tuple[str, ...] = ()
    quick: tuple[str, ...] | None = None
    within_s: float = 600.0

    @property
    def wants_images(self) -> bool:
        return any(IMAGES in each for each in self.full)

    @property
    def command(self) -> str:
        return " ".join(("python -m", f"benchmarks.{self.name}", *self.full))


START, REQUESTS, PICTURES = "Start, memory, size", "Requests", "Pictures"
BATCHES, STORING, TRAFFIC = "Batches", "Ledger, exports, webhooks", "Quotas"
RIGHT = "Accuracy and confidence"

QUOTA = "steady,bursty,tenant,faults,people,replicas"
WHOLE = f"{IMAGES}/flowers"

BENCHMARKS = (
    Benchmark("start", START, ("--rounds", "5"), ("--rounds", "3")),
    Benchmark("memory", START, quick=()),
    Benchmark("size", START, quick=()),
    Benchmark("five_minutes", START),
    Benchmark("classify", REQUESTS, quick=("--rounds", "3", "--seconds", "2")),
    Benchmark("http", REQUESTS, quick=("--rounds", "3", "--seconds", "2", "--loads", "saturated")),
    Benchmark("monitoring", REQUESTS, quick=("--rounds", "80")),
    Benchmark("prepare", PICTURES, quick=("--rounds", "7", "--parts", "costs")),
    Benchmark("batch", BATCHES, quick=("--items", "10000")),
    Benchmark("batch_pictures", BATCHES),
    Benchmark("batch_workers", BATCHES, ("--items", "2000")),
    Benchmark("batch_beside", BATCHES, ("--seconds", "60")),
    Benchmark("listing", BATCHES),
    Benchmark("ledger", STORING, quick=("--rounds", "5", "--at-once", "16")),
    Benchmark(
        "export",
        STORING,
        ("--rows", "50000", "--formats", "csv,jsonl,json,xml,parquet,xlsx"),
        ("--rows", "20000"),
    ),
    Benchmark(
        "webhooks",
        STORING,
        ("--rounds", "2"),
        ("--cases", "throughput", "--events", "50"),
    ),
    Benchmark("quota", TRAFFIC, ("--cases", QUOTA, "--minutes", "2"), within_s=1_200),
    Benchmark("calibrated", RIGHT),
    Benchmark("calibration", RIGHT, ("--parts", "speed"), ("--parts", "speed")),
    Benchmark("confidence", RIGHT, quick=()),
    Benchmark("quality", RIGHT, (IMAGES,)),
    Benchmark("flowers", RIGHT, ("--images", IMAGES)),
    Benchmark("held_out", RIGHT, (WHOLE, "--none", f"{IMAGES}/none/flowers")),
    Benchmark("taught", RIGHT, ("--images", IMAGES)),
    Benchmark("cascade", RIGHT, ("--images", IMAGES, "--rounds", "1")),
    Benchmark("estimate", RIGHT, (IMAGES, "--models", "gpt-4o", "--details", "low")),
)


class Failed(Exception):
    """A benchmark has no figures to report."""


class OutOfTime(Failed):
    """It may have had them, given more time."""


@dataclass(frozen=True)
class Ran:
    figures: tuple[Figure, ...]
    seconds: float


def run(name: str, arguments: Sequence[str], *, within_s: float, images: Path | None = None) -> Ran:
    """Raises Failed; OutOfTime: it did not end in time."""
    given = [each.replace(IMAGES, str(images)) for each in arguments]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", *given, "--figures", str(out)]
        with subprocess.Popen(  # noqa: S603
            command,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                _, errors = process.communicate(timeout=within_s)
            except subprocess.TimeoutExpired:
                raise OutOfTime(f"not over within {within_s:.0f} s") from None
            finally:
                _end(process)
        if process.returncode:
            raise Failed((errors.strip() or f"status {process.returncode}").splitlines()[-1])
        figures = tuple(Figure(**each) for each in json.loads(out.read_text()))
    return Ran(figures, time.monotonic() - began)


def _end(process: subprocess.Popen[str]) -> None:
    """Including servers and simulators that it left running."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
