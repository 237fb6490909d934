"""How long each stage of one classification takes."""

import time
from dataclasses import dataclass, field
from typing import Any

from app.result import Timings
from app.telemetry.metrics import Metrics
from app.telemetry.trace import current


class _Stage:
    __slots__ = ("_began", "_name", "_span", "_stopwatch")

    def __init__(self, stopwatch: "Stopwatch", name: str) -> None:
        self._stopwatch = stopwatch
        self._name = name

    def __enter__(self) -> None:
        self._began = time.perf_counter()
        self._span = current().span(self._name)
        self._span.__enter__()

    def __exit__(self, *how: Any) -> None:
        self._span.__exit__(*how)
        self._stopwatch.note(self._name, time.perf_counter() - self._began)


@dataclass(slots=True)
class Stopwatch:
    """Seconds by stage; the total counts from its creation."""

    metrics: Metrics
    began: float = field(default_factory=time.perf_counter)
    stages: dict[str, float] = field(default_factory=dict)

    def time(self, stage: str) -> "_Stage":
        """A context manager that times the stage."""
        return _Stage(self, stage)

    def note(self, stage: str, seconds: float) -> None:
        self.stages[stage] = seconds
        self.metrics.stage(stage, seconds)

    def timings(self) -> Timings:
        shown = {
            name: self.stages.get(name, 0.0) for name in ("fetch", "prepare", "wait", "provider")
        }
        shown["total"] = time.perf_counter() - self.began
        return Timings(**{name: round(seconds * 1000, 2) for name, seconds in shown.items()})
