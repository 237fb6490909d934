"""The whole service with the local provider, beside a bare route that decodes and runs the model.

    python -m benchmarks.classify [--photographs FOLDER] [--json OUT]

Both are real servers on loopback, loaded in turns so that a noisy machine is noisy for both.
"""

import argparse
import asyncio
import json
import re
import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load import Load, run_load, upload
from benchmarks.server import Server

CONCURRENCY = 16
STAGES = ("fetch", "prepare", "wait", "provider", "store")


@dataclass
class Measured:
    """One server's rounds."""

    server: Server
    requests: list[bytes]
    rounds: list[Load] = field(default_factory=list)
    cpu_s: float = 0.0

    async def round(self, duration_s: float) -> None:
        before = self.server.cpu_s()
        load = await run_load(
            self.requests, self.server.port, concurrency=CONCURRENCY, duration_s=duration_s
        )
        self.cpu_s += self.server.cpu_s() - before
        self.rounds.append(load)

    def figures(self) -> dict[str, float]:
        """Medians over the rounds."""
        answered = sum(len(each.seconds) for each in self.rounds)
        return {
            "images_per_s": statistics.median(each.per_second for each in self.rounds),
            "p50_ms": statistics.median(each.percentile(0.5) for each in self.rounds),
            "p99_ms": statistics.median(each.percentile(0.99) for each in self.rounds),
            "cpu_ms_per_image": self.cpu_s / answered * 1000,
            "peak_rss_mb": self.server.peak_rss_mb(),
            "ready_s": self.server.ready_s,
        }


async def measure(photographs: list[Path], *, rounds: int, duration_s: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        variables = {"DATABASE_URL": f"sqlite:///{folder}/app.db", "LOG_RENDERER": "json"}
        serve = ["-m", "app", "serve"]
        Server(serve, **variables).stop()  # makes the database and the compiled files
        service = Server(serve, **variables)
        bare = Server(["-m", "uvicorn", "benchmarks.bare:app", "--port", "PORT", "--no-access-log"])
        measured = {
            name: Measured(server, [upload(p, server.port, domain="animals") for p in photographs])
            for name, server in (("service", service), ("bare", bare))
        }
        for each in measured.values():
            await run_load(each.requests, each.server.port, concurrency=4, duration_s=2)
        for _ in range(rounds):
            for each in measured.values():
                await each.round(duration_s)
        figures = {name: each.figures() for name, each in measured.items()}
        stages = stage_means(service.get("/metrics"))
        for each in measured.values():
            each.server.stop()
    return {**figures, "stage_ms": stages, "ratios": ratios(**figures)}


def stage_means(metrics: str) -> dict[str, float]:
    """Mean milliseconds of each stage, waiting for a thread included."""
    found = {}
    for stage in STAGES:
        total, count = (
            float(re.search(rf'stage_seconds_{kind}{{stage="{stage}"}} (\S+)', metrics)[1])  # type: ignore[index]
            for kind in ("sum", "count")
        )
        found[stage] = total / count * 1000
    return found


def ratios(service: dict[str, float], bare: dict[str, float]) -> dict[str, float]:
    return {
        "images_per_s": service["images_per_s"] / bare["images_per_s"],
        "p99": service["p99_ms"] / bare["p99_ms"],
        "cpu_ms_more": service["cpu_ms_per_image"] - bare["cpu_ms_per_image"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=Path, default=Path("examples/images"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="of one round")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    photographs = sorted(options.photographs.rglob("*.jpg"))
    found = asyncio.run(measure(photographs, rounds=options.rounds, duration_s=options.seconds))
    print(json.dumps(found, indent=2))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
