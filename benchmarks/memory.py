"""What the service holds when it is ready, and after 200 classifications by the local model, beside
an app of one route, and beside a bare route that prepares the picture and runs the model.

    python -m benchmarks.memory [--json OUT]
"""

import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.report import Figure, parser, report
from benchmarks.server import BARE, ONE_ROUTE, SERVE, Server
from tests.service import ROOT

ASKED = 200
PHOTOGRAPHS = ROOT / "examples" / "images"
FRESH = {"cache-control": "no-cache"}


def ask(server: Server) -> None:
    pictures = [path.read_bytes() for path in sorted(PHOTOGRAPHS.glob("*.jpg"))]
    with httpx2.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as http:
        for data in islice(cycle(pictures), ASKED):
            form = {"data": {"domain": "animals"}, "files": {"file": ("a.jpg", data)}}
            http.post("/classify", headers=FRESH, **form).raise_for_status()


def held(arguments: list[str], folder: Path, *, asked: bool) -> dict[str, float]:
    """Resident memory, in MB."""
    server = Server(arguments, ROOT, DATABASE_URL=f"sqlite:///{folder}/app.db")
    found = {"idle_mb": round(server.costs.megabytes("VmRSS"), 1)}
    if asked:
        ask(server)
        found["asked_mb"] = round(server.costs.megabytes("VmRSS"), 1)
    server.stop()
    return found


def measure(folder: Path) -> dict[str, Any]:
    return {
        "service": held(SERVE, folder, asked=True),
        "bare": held(BARE, folder, asked=True),
        "one_route": held(ONE_ROUTE, folder, asked=False),
    }


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    yield Figure(
        name="memory when ready",
        value=found["service"]["idle_mb"],
        unit="MB",
        beside="FastAPI and uvicorn with one route",
        beside_value=found["one_route"]["idle_mb"],
    )
    yield Figure(
        name=f"memory after {ASKED} classifications",
        value=found["service"]["asked_mb"],
        unit="MB",
        beside="a bare route with the model",
        beside_value=found["bare"]["asked_mb"],
    )


def main() -> None:
    options = parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name))
    report(found, options, figures(found))


if __name__ == "__main__":
    main()
