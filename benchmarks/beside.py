"""Two servers under the same load, in turns, so that a noisy machine disturbs both alike."""

import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.load import Load, Upload, run_load
from benchmarks.report import Figure
from benchmarks.server import Server

STAGES = ("fetch", "lookup", "prepare", "wait", "provider", "store")
WARM_UP_S = 2.0


@dataclass
class Measured:
    """One server's rounds."""

    server: Server
    uploads: Sequence[Upload]
    rounds: list[Load] = field(default_factory=list)
    cpu_s: float = 0.0

    async def round(self, **load_options: Any) -> None:
        before = self.server.costs.cpu_s()
        load = await run_load(self.uploads, self.server.port, **load_options)
        self.cpu_s += self.server.costs.cpu_s() - before
        self.rounds.append(load)

    def afresh(self) -> "Measured":
        """The same server without rounds."""
        return replace(self, rounds=[], cpu_s=0.0)

    def figures(self) -> dict[str, float]:
        """Medians over the rounds."""
        answered = sum(len(each.seconds) for each in self.rounds)
        return {
            "images_per_s": statistics.median(each.per_second for each in self.rounds),
            "p50_ms": statistics.median(each.percentile(0.5) for each in self.rounds),
            "p99_ms": statistics.median(each.percentile(0.99) for each in self.rounds),
            "cpu_ms_per_image": self.cpu_s / answered * 1000,
            "peak_rss_mb": self.server.costs.megabytes("VmHWM"),
            "ready_s": self.server.ready_s,
        }


async def measure_in_turns(
    measured: Mapping[str, Measured], *, rounds: int, **load_options: Any
) -> dict[str, dict[str, float]]:
    """`load_options`: see run_load."""
    for each in measured.values():
        await run_load(each.uploads, each.server.port, concurrency=4, duration_s=WARM_UP_S)
    for _ in range(rounds):
        for each in measured.values():
            await each.round(**load_options)
    return {name: each.figures() for name, each in measured.items()}


def stage_means(metrics: str) -> dict[str, float]:
    """Mean milliseconds of each stage, including waiting for a thread."""
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
        "p99_ms_more": service["p99_ms"] - bare["p99_ms"],
        "cpu_ms_more": service["cpu_ms_per_image"] - bare["cpu_ms_per_image"],
    }


def figures_beside(
    service: dict[str, float], bare: dict[str, float], told: str = "", *, paced: bool = False
) -> Iterator[Figure]:
    """`told` is appended to each name. `paced`: both answer the same number per second."""
    for name, kind, unit in (
        ("CPU time of a request", "cpu_ms_per_image", "ms"),
        ("latency, 99th percentile", "p99_ms", "ms"),
        *(() if paced else (("requests", "images_per_s", "a second"),)),
    ):
        yield Figure(
            name=name + told,
            value=service[kind],
            unit=unit,
            better="higher" if kind == "images_per_s" else "lower",
            beside="a bare route",
            beside_value=bare[kind],
            of_clock=kind != "cpu_ms_per_image",
        )
