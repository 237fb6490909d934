"""The committed figures: benchmarks/figures.json, which docs/performance.md is made from."""

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, Field

from benchmarks.report import Better, Figure

PATH = Path(__file__).with_name("figures.json")
STEADY = 0.075
"""Largest spread of a ratio that is compared with its median: half of the change that is
reported."""


class Ratio(BaseModel):
    """The ratio of a figure to its baseline, from rounds in processes of their own."""

    better: Better
    of_clock: bool = False
    rounds: list[float]

    @property
    def middle(self) -> float:
        return statistics.median(self.rounds)

    @property
    def spread(self) -> float:
        """0.1: the largest and the smallest differ by a tenth of the median."""
        apart = max(self.rounds) - min(self.rounds)
        return apart / self.middle if apart else 0.0

    @property
    def is_steady(self) -> bool:
        return not self.of_clock and len(self.rounds) > 1 and self.spread <= STEADY

    @property
    def worst(self) -> float:
        return max(self.rounds) if self.better == "lower" else min(self.rounds)

    @property
    def bound(self) -> float:
        """What another round is compared with: a ratio that is not steady must be worse than it
        ever was."""
        return self.middle if self.is_steady else self.worst

    def worse_by(self, ratio: float) -> float:
        """0.2: a fifth worse than the bound; below 0: better."""
        worse, than = (ratio, self.bound) if self.better == "lower" else (self.bound, ratio)
        if worse == than:
            return 0.0
        return worse / than - 1 if than else math.inf


class Measured(BaseModel):
    """One benchmark: when it ran, how long that took, and its figures, or why there are none.

    Attributes:
        ratios: of its quick form, by the name of the figure.
    """

    at: str
    seconds: float = 0.0
    failed: str = ""
    figures: list[Figure] = Field(default_factory=list)
    ratios: dict[str, Ratio] = Field(default_factory=dict)


class Kept(BaseModel):
    """Measurements by the name of the benchmark."""

    machine: dict[str, str] = Field(default_factory=dict)
    measured: dict[str, Measured] = Field(default_factory=dict)

    @classmethod
    def read(cls, path: Path = PATH) -> "Kept":
        return cls.model_validate_json(path.read_text()) if path.exists() else cls()

    def write(self, path: Path = PATH) -> None:
        found = self.model_dump(mode="json", exclude_defaults=True)
        path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")

    @property
    def comparable(self) -> int:
        """How many ratios have a short form."""
        return sum(len(self.compared(each)) for each in self.measured)

    def compared(self, benchmark: str) -> dict[str, Ratio]:
        found = self.measured.get(benchmark)
        return (
            {name: each for name, each in found.ratios.items() if len(each.rounds) > 1}
            if found
            else {}
        )


def ratios(rounds: Sequence[Iterable[Figure]]) -> dict[str, Ratio]:
    """Of figures that every round has."""
    found: dict[str, Ratio] = {}
    for figures in rounds:
        for each in figures:
            if each.ratio is not None:
                ratio = Ratio(better=each.better, of_clock=each.of_clock, rounds=[])
                found.setdefault(each.name, ratio).rounds.append(round(each.ratio, 4))
    return {name: each for name, each in found.items() if len(each.rounds) == len(rounds)}
