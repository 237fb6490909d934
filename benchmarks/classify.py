"""The whole service with the local provider, beside a bare route that decodes, hashes and checks
the picture and runs the model.

    python -m benchmarks.classify [--photographs FOLDER] [--json OUT]
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.beside import Measured, figures_beside, measure_in_turns, ratios, stage_means
from benchmarks.load import Upload
from benchmarks.report import parser, report
from benchmarks.server import BARE, SERVE, Server

CONCURRENCY = 16
TOLD = f", {CONCURRENCY} at once"


async def measure(photographs: list[Path], *, rounds: int, duration_s: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        variables = {"DATABASE_URL": f"sqlite:///{folder}/app.db", "LOG_RENDERER": "json"}
        Server(SERVE, **variables).stop()  # creates the database and the compiled files
        service, bare = Server(SERVE, **variables), Server(BARE)
        measured = {
            name: Measured(
                server, [Upload.of(p, server.port, domain="animals") for p in photographs]
            )
            for name, server in (("service", service), ("bare", bare))
        }
        figures = await measure_in_turns(
            measured, concurrency=CONCURRENCY, rounds=rounds, duration_s=duration_s
        )
        stages = stage_means(service.get("/metrics"))
        for each in measured.values():
            each.server.stop()
    return {**figures, "stage_ms": stages, "ratios": ratios(**figures)}


def main() -> None:
    arguments = parser(__doc__, rounds=5)
    arguments.add_argument("--photographs", type=Path, default=Path("examples/images"))
    arguments.add_argument("--seconds", type=float, default=6.0, help="of one round")
    options = arguments.parse_args()
    photographs = sorted(options.photographs.rglob("*.jpg"))
    found = asyncio.run(measure(photographs, rounds=options.rounds, duration_s=options.seconds))
    report(found, options, figures_beside(found["service"], found["bare"], TOLD))


if __name__ == "__main__":
    main()
