"""The service's own cost: a provider that answers at once, beside a bare route that does the same
decoding, hashes, checks and encoding. Each server has one core, the load generator the other.

Twice: with the core saturated, where every request waits for all the others and each millisecond of
one is CONCURRENCY of another's; and at half the rate that the bare route reached.

    python -m benchmarks.http [--loads saturated,paced] [--json OUT]
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import instant
from benchmarks.beside import Measured, figures_beside, measure_in_turns, ratios, stage_means
from benchmarks.load import Upload
from benchmarks.report import Figure, parser, report
from benchmarks.server import BARE, SERVE, Server
from tests.pictures import encoded, photograph

CONCURRENCY = 64
CORE, OTHER_CORE = 0, 1
LOADS = ("saturated", "paced")


async def measure(loads: Sequence[str], *, rounds: int, duration_s: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        instant.install(folder)
        picture = folder / "picture.jpg"
        picture.write_bytes(encoded(photograph(640, 480), "JPEG", quality=90))
        variables = {
            "DATABASE_URL": f"sqlite:///{folder}/app.db",
            "LOG_RENDERER": "json",
            "PROVIDER": "instant",
            "IMAGE_WORKERS": "2",
            "PYTHONPATH": f"{folder}:{Path.cwd()}",
        }
        servers = {
            "service": (Server(SERVE, **variables), "/classify"),
            "bare": (Server(BARE, **variables), "/prepare"),
        }
        os.sched_setaffinity(0, {OTHER_CORE})
        measured = {}
        for each, (server, path) in servers.items():
            server.pin({CORE})
            upload = Upload.of(picture, server.port, domain="animals", path=path)
            measured[each] = Measured(server, [upload])
        load = {"concurrency": CONCURRENCY, "rounds": rounds, "duration_s": duration_s}
        found = {"saturated": await measure_in_turns(measured, **load)}
        if "paced" in loads:
            found["paced"] = await measure_in_turns(
                {name: each.afresh() for name, each in measured.items()},
                per_second=found["saturated"]["bare"]["images_per_s"] / 2,
                **load,
            )
        stages = stage_means(servers["service"][0].get("/metrics"))
        for server, _ in servers.values():
            server.stop()
    told = {name: each | {"ratios": ratios(**each)} for name, each in found.items()}
    return told | {"stage_ms": stages}


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    for name in LOADS:
        if name in found:
            yield from figures_beside(
                found[name]["service"], found[name]["bare"], f", {name}", paced=name == "paced"
            )


def main() -> None:
    arguments = parser(__doc__, rounds=5)
    arguments.add_argument("--loads", default=",".join(LOADS), help="the first is always measured")
    arguments.add_argument("--seconds", type=float, default=6.0, help="of one round")
    options = arguments.parse_args()
    loads = options.loads.split(",")
    found = asyncio.run(measure(loads, rounds=options.rounds, duration_s=options.seconds))
    report(found, options, figures(found))


if __name__ == "__main__":
    main()
