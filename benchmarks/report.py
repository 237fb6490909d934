"""Shared by all benchmarks: their options, and the output of figures."""

import argparse
import asyncio
import json
from collections.abc import Coroutine, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from app.cli.serve import loop_factory

T = TypeVar("T")

Better = Literal["lower", "higher"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measurement of a benchmark.

    Attributes:
        name: within its benchmark.
        beside: the baseline, measured in the same run: the least that has to be done, or what
            others do.
        beside_value: the baseline's value, in the same unit.
        goal: the worst acceptable value.
        of_clock: wall-clock time, not processor time, memory or size: other load on the machine
            affects it.
    """

    name: str
    value: float
    unit: str = ""
    better: Better = "lower"
    beside: str = ""
    beside_value: float | None = None
    goal: float | None = None
    of_clock: bool = False

    @property
    def ratio(self) -> float | None:
        """None: it has no baseline."""
        return self.value / self.beside_value if self.beside_value else None

    @property
    def is_missed(self) -> bool:
        """Whether the goal is missed."""
        if self.goal is None:
            return False
        return self.value > self.goal if self.better == "lower" else self.value < self.goal


def parser(text: str | None, *, rounds: int | None = None) -> argparse.ArgumentParser:
    """`rounds`: the default number; None: the benchmark has none."""
    made = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if rounds:
        made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--json", type=Path, help="where all is written that is printed")
    made.add_argument("--figures", type=Path, help="where `python -m benchmarks` reads it")
    return made


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run on the same kind of event loop as the service."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(work)


def report(
    found: dict[str, Any], options: argparse.Namespace, figures: Iterable[Figure] = ()
) -> None:
    """Print the measurements as JSON, and write them and the figures to a path if one is given."""
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")
    keep(figures, options)


def keep(figures: Iterable[Figure], options: argparse.Namespace) -> None:
    if options.figures:
        options.figures.write_text(json.dumps([asdict(each) for each in figures]))


def shown(value: float, unit: str = "") -> str:
    """With three significant digits; for `%` the value is a share."""
    if unit == "%":
        return percent(value)
    if abs(value) >= 100:
        number = f"{value:,.0f}"
    else:
        number = f"{value:.3g}" if abs(value) >= 0.001 or value == 0 else f"{value:.6f}"
    return f"{number} {unit}".strip()


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"
