"""How long it takes until the service answers, beside an app of one route and beside Python itself.

    python -m benchmarks.start [--rounds 5] [--json OUT]

First starts are from a copy of the code that was never compiled, with no database; those after that
find both. The environment's packages are compiled in any case. `cpu_s` is processor time of all
threads up to the first good answer of /health/ready, the least of all rounds; `ready_s` the median.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, parser, report
from benchmarks.server import ONE_ROUTE, SERVE, Server
from tests.service import ROOT

NOTHING = "python -c pass"


def copied(folder: Path) -> Path:
    """Copy the code, without anything generated from it."""
    for name in ("app", "config", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def started(arguments: list[str], folder: Path) -> tuple[float, float]:
    """Processor seconds and wall-clock seconds."""
    server = Server(arguments, folder, DATABASE_URL=f"sqlite:///{folder}/app.db")
    cpu_s = server.costs.cpu_s()
    server.stop()
    return cpu_s, server.ready_s


def nothing() -> float:
    """Processor seconds."""
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    return used.ru_utime + used.ru_stime


def measure(rounds: int) -> dict[str, Any]:
    """Measure in turns."""
    taken: dict[str, list[tuple[float, float]]] = {}
    least = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = copied(Path(name))
            taken.setdefault("first", []).append(started(SERVE, folder))
            taken.setdefault("second", []).append(started(SERVE, folder))
            started(ONE_ROUTE, folder)  # compiles its route
            taken.setdefault("one_route", []).append(started(ONE_ROUTE, folder))
            least.append(nothing())
    found: dict[str, Any] = {
        name: {
            "cpu_s": round(min(cpu_s for cpu_s, _ in each), 3),
            "ready_s": round(statistics.median(ready_s for _, ready_s in each), 3),
        }
        for name, each in taken.items()
    }
    return found | {NOTHING: {"cpu_s": round(min(least), 3)}}


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    route = found["one_route"]
    for name, told in (("first", "first start"), ("second", "later start")):
        for figure, kind in (("cpu_s", "CPU time"), ("ready_s", "until ready")):
            yield Figure(
                name=f"{told}, {kind}",
                value=found[name][figure],
                unit="s",
                beside="FastAPI and uvicorn with one route",
                beside_value=route[figure],
                of_clock=figure == "ready_s",
            )
    yield Figure(
        name="later start, CPU time, beside Python",
        value=found["second"]["cpu_s"],
        unit="s",
        beside=f"`{NOTHING}`",
        beside_value=found[NOTHING]["cpu_s"],
    )


def main() -> None:
    options = parser(__doc__, rounds=5).parse_args()
    found = measure(options.rounds)
    report(found, options, figures(found))


if __name__ == "__main__":
    main()
