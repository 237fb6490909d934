"""Resource usage of processes while they live: memory, handles, and event loop lag."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from tests.process import Process
from tests.soak.world import World

EVERY_S = 1.0
SCRAPED_EVERY_S = 5.0

LASTED = 0.5
"""Share of the whole time that a process has to live to be judged."""

WARM_UP = 0.2
"""Share of a process's life that is left out, during which things are loaded on first use. The
first calibration is fitted after some six minutes, and takes 35 MB: too late for a run of ten
minutes, not for one of an hour."""

FLAT = 0.1
"""Share by which the last third of the rest may be above the first."""

FEW_HANDLES, FEW_HANDLES_BRIEFLY = 5, 20

LAG = "classifier_event_loop_lag_seconds"


@dataclass(slots=True)
class Life:
    """One process, from its start to its end."""

    name: str
    began: float
    at: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    handles: list[int] = field(default_factory=list)
    lags: dict[float, float] = field(default_factory=dict)
    """By upper bound, how often the lag did not exceed it."""

    @property
    def lasted_s(self) -> float:
        return self.at[-1] - self.began if self.at else 0.0

    def thirds(self, values: Sequence[float]) -> tuple[float, float]:
        """Medians of the first and the last third, after the warm-up."""
        warm = self.began + WARM_UP * self.lasted_s
        counted = [each for at, each in zip(self.at, values, strict=True) if at >= warm]
        third = max(1, len(counted) // 3)
        return median(counted[:third]), median(counted[-third:])


class Watch:
    def __init__(self, world: World) -> None:
        self._world = world
        self._lives: dict[int, Life] = {}
        self._began = time.time()

    async def look(self) -> None:
        """Measure until cancelled."""
        async with httpx2.AsyncClient(timeout=5) as http:
            scraped_at = float("-inf")
            while True:
                self._measure()
                if time.time() >= scraped_at + SCRAPED_EVERY_S:
                    scraped_at = time.time()
                    await self._scrape(http)
                await asyncio.sleep(EVERY_S)

    def longest(self) -> Iterator[Life]:
        """The processes that lived long enough to be judged."""
        for each in self._lives.values():
            if each.lasted_s >= LASTED * (time.time() - self._began):
                yield each

    def complaints(self, *, is_long: bool) -> Iterator[str]:
        """In minutes memory says nothing: what is loaded when it is first needed, for exports and
        for a calibration, is 120 MB, and more than any leak; and of handles a few more are let go,
        as those that are opened anew after each outage."""
        few = FEW_HANDLES if is_long else FEW_HANDLES_BRIEFLY
        judged = list(self.longest())
        if not judged:
            yield "no process lived long enough to tell whether it grows"
        for each in judged:
            first, last = each.thirds(each.megabytes)
            if is_long and last > first * (1 + FLAT):
                yield f"{each.name} grew from {first:.0f} to {last:.0f} MB"
            first, last = each.thirds(each.handles)
            if last > max(first * (1 + FLAT), first + few):
                yield f"{each.name} has {last:.0f} handles, and had {first:.0f}"

    def lag_ms(self, share: float) -> float:
        """The lag that this share of all wake-ups did not exceed, as far as the buckets tell."""
        counts: Counter[float] = Counter()
        for each in self._lives.values():
            counts.update(each.lags)
        total = counts[float("inf")]
        return next((1000 * le for le in sorted(counts) if counts[le] >= share * total), 0.0)

    def now(self) -> dict[str, float]:
        """Megabytes, by name."""
        return {each.name: each.megabytes[-1] for each in self._lives.values() if each.megabytes}

    def _measure(self) -> None:
        for name, service in self._world.processes.items():
            pid = service.process.pid
            with suppress(OSError, RuntimeError):  # it is just dying
                process = Process(pid)
                megabytes, handles = process.megabytes("VmRSS"), process.handles()
                life = self._lives.setdefault(pid, Life(name, time.time()))
                life.at.append(time.time())
                life.megabytes.append(megabytes)
                life.handles.append(handles)

    async def _scrape(self, http: httpx2.AsyncClient) -> None:
        for service in list(self._world.processes.values()):
            pid = service.process.pid
            with suppress(httpx2.TransportError):
                text = (await http.get(f"{service.url}/metrics")).text
                if pid in self._lives:
                    self._lives[pid].lags = _buckets(text)


def _buckets(metrics: str) -> dict[float, float]:
    found: dict[float, float] = defaultdict(float)
    for family in text_string_to_metric_families(metrics):
        if family.name == LAG:
            for each in family.samples:
                if each.name.endswith("_bucket"):
                    found[float(each.labels["le"])] += each.value
    return found
