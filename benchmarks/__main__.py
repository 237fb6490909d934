"""Every benchmark, one after the other, each in a process of its own.

    python -m benchmarks [--images FOLDER] [--only NAME ...]   # writes figures.json
    python -m benchmarks --quick [--only NAME ...]             # what is compared, written nowhere
    python -m benchmarks --check [--only NAME ...]             # compared with figures.json

Ratios of short forms are compared: one that hardly differed between three processes with their
middle, another one with the worst of them. More than 15 % worse, and so again in a second process,
is told in a line that begins with `regression:`; more than 50 % worse than a middle, or a benchmark
that fails, and the status is 1.
"""

import argparse
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.compare import Change, changes
from benchmarks.kept import Kept, Measured, ratios
from benchmarks.machine import machine
from benchmarks.report import Figure, shown
from benchmarks.suite import BENCHMARKS, Benchmark, Failed, OutOfTime, Ran, run

ROUNDS = 3
"""Rounds of short forms, from which the spread is computed."""
CHECK_WITHIN_S = 240.0
LEAST_S = 5.0
"""With less time left, no benchmark is started."""


def measured(benchmark: Benchmark, images: Path | None) -> Measured:
    found = Measured(at=f"{datetime.now(UTC):%Y-%m-%d}")
    try:
        full = run(benchmark.name, benchmark.full, within_s=benchmark.within_s, images=images)
        found.figures, found.seconds = list(full.figures), round(full.seconds, 1)
        if benchmark.quick is not None:
            rounds = [quick(benchmark).figures for _ in range(ROUNDS)]
            found.ratios = ratios(rounds)
    except Failed as error:
        found.failed = str(error)
    return found


def quick(benchmark: Benchmark, *, within_s: float = CHECK_WITHIN_S) -> Ran:
    return run(benchmark.name, benchmark.quick or (), within_s=min(within_s, benchmark.within_s))


def measure_all(chosen: Iterable[Benchmark], images: Path | None) -> int:
    failed, here = 0, machine()
    for each in chosen:
        if each.wants_images and images is None:
            print(f"{each.name}: left out, it needs --images", flush=True)
            continue
        began = time.monotonic()
        found = measured(each, images)
        failed += bool(found.failed)
        kept = Kept.read()
        if kept.machine != here:
            print("what was measured on another machine, or with other versions, is let go")
            kept = Kept(machine=here)
        kept.measured[each.name] = found
        kept.write()
        print(f"{each.name}: {found.failed or told(found.figures)}", flush=True)
        print(f"  {found.seconds:.0f} s, {time.monotonic() - began:.0f} s in all", flush=True)
    return 1 if failed else 0


def measure_quick(chosen: Iterable[Benchmark]) -> int:
    failed = 0
    for each in chosen:
        try:
            ran = quick(each)
        except Failed as error:
            failed += 1
            print(f"{each.name}: {error}", flush=True)
        else:
            print(f"{each.name}, {ran.seconds:.0f} s: {told(ran.figures)}", flush=True)
    return 1 if failed else 0


def told(figures: Iterable[Figure]) -> str:
    return "".join(
        f"\n  {each.name}: {shown(each.value, each.unit)}"
        + (f", {shown(each.ratio)} times {each.beside}" if each.ratio else "")
        for each in figures
    )


def check(chosen: Iterable[Benchmark]) -> int:
    """Return 1 if a ratio is far worse in two runs or a benchmark fails, else 0."""
    kept, ends_at, status, compared = Kept.read(), time.monotonic() + CHECK_WITHIN_S, 0, 0
    for each in chosen:
        was = kept.compared(each.name)
        if not was:
            continue
        try:
            found = list(changes(was, _now(each, ends_at)))
            if any(change.is_regression for change in found):
                found = list(_confirmed(found, changes(was, _now(each, ends_at))))
        except Failed as error:
            print(f"not compared: {each.name}: {error}", flush=True)
            if not isinstance(error, OutOfTime):
                status = 1
            continue
        compared += len(was)
        for change in found:
            print(change, flush=True)
        if any(change.fails for change in found):
            status = 1
    here = kept.machine.get("processor", "nothing")
    print(f"{compared} of {kept.comparable} ratios compared with those of {here}")
    return status


def _now(benchmark: Benchmark, ends_at: float) -> dict[str, float]:
    left = ends_at - time.monotonic()
    if left < LEAST_S:
        raise OutOfTime("no time is left")
    figures = quick(benchmark, within_s=left).figures
    return {each.name: each.ratio for each in figures if each.ratio is not None}


def _confirmed(first: Iterable[Change], second: Iterable[Change]) -> Iterator[Change]:
    """Ratios that are worse in both runs, with the less bad of the two; all others as in the
    first."""
    again = {each.name: each for each in second}
    for change in first:
        if not change.is_regression:
            yield change
        elif (other := again.get(change.name)) and other.is_regression:
            yield min(change, other, key=lambda each: each.worse_by)


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [each.name for each in BENCHMARKS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--images", type=Path, help="photographs, by folder: flowers/rose/1.jpg")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--quick", action="store_true")
    how.add_argument("--check", action="store_true")
    options = parser.parse_args()
    chosen = [each for each in BENCHMARKS if each.name in options.only]
    short = [each for each in chosen if each.quick is not None]
    if options.check:
        status = check(short)
    elif options.quick:
        status = measure_quick(short)
    else:
        status = measure_all(chosen, options.images and options.images.resolve())
    raise SystemExit(status)


if __name__ == "__main__":
    main()
