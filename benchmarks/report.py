"""What benchmarks have in common: their options, and how their figures come out."""

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
    """One thing that a benchmark found out.

    Attributes:
        name: within its benchmark.
        beside: the least that has to be done, or what others do, measured in the same run.
        beside_value: of that, in the same unit.
        goal: the worst value that is good enough.
        of_clock: not of processor time, memory or size: what else the machine does changes it.
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
        """None: nothing is beside it."""
        return self.value / self.beside_value if self.beside_value else None

    @property
    def is_missed(self) -> bool:
        """Its goal is."""
        if self.goal is None:
            return False
        return self.value > self.goal if self.better == "lower" else self.value < self.goal


def parser(text: str | None, *, rounds: int | None = None) -> argparse.ArgumentParser:
    """`rounds`: how many, unless told; None: it has none."""
    made = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if rounds:
        made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--json", type=Path, help="where all is written that is printed")
    made.add_argument("--figures", type=Path, help="where `python -m benchmarks` reads it")
    return made


def run(work: Coroutine[Any, Any, T]) -> T:
    """On the event loop that the service runs on."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(work)


def report(
    found: dict[str, Any], options: argparse.Namespace, figures: Iterable[Figure] = ()
) -> None:
    """Print what was found as JSON, and keep it and the figures where a path is given."""
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")
    keep(figures, options)


def keep(figures: Iterable[Figure], options: argparse.Namespace) -> None:
    if options.figures:
        options.figures.write_text(json.dumps([asdict(each) for each in figures]))


def shown(value: float, unit: str = "") -> str:
    """With three digits that count; of `%` the value is a share."""
    if unit == "%":
        return percent(value)
    if abs(value) >= 100:
        number = f"{value:,.0f}"
    else:
        number = f"{value:.3g}" if abs(value) >= 0.001 or value == 0 else f"{value:.6f}"
    return f"{number} {unit}".strip()


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"
