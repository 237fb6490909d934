"""How long each stage of one classification takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.result import Timings
from app.telemetry.metrics import Metrics


@dataclass(slots=True)
class Stopwatch:
    """Seconds by stage, since it was made."""

    metrics: Metrics
    began: float = field(default_factory=time.perf_counter)
    stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.note(stage, time.perf_counter() - began)

    def note(self, stage: str, seconds: float) -> None:
        self.stages[stage] = seconds
        self.metrics.stage(stage, seconds)

    def timings(self) -> Timings:
        shown = {
            name: self.stages.get(name, 0.0) for name in ("fetch", "prepare", "wait", "provider")
        }
        shown["total"] = time.perf_counter() - self.began
        return Timings(**{name: round(seconds * 1000, 2) for name, seconds in shown.items()})
