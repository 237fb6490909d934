"""How far confidence means what it says after labels, and what sets and thresholds keep.

    python -m benchmarks.calibration [--parts chance,errors,coverages,thresholds,speed]

Answers are those of the simulated model, with 4 classes and `calibration` 0.4: surer than it is
right. No provider is asked; the test tests/integration/simulator/test_calibration.py does that.
"""

import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from app.calibration.calibration import calibrated, for_sets
from app.calibration.fitting import Fit, error_of, fit, recalibrated
from app.calibration.labelled import Labelled
from app.calibration.threshold import threshold_for
from benchmarks.report import Figure, keep, parser
from tests.labelled import EASY, HARD, MIDDLING, answers, drawn

FRESH = 10_000
DRAWS = 20
SEEDS = 50
LEVELS = {"65 %": HARD, "80 %": MIDDLING, "93 %": EASY}


def chance() -> Iterator[str]:
    for count in (50, 100, 300, 1_000):
        found = [error_of(answers(count, spread=1, seed=seed)) for seed in range(DRAWS)]
        yield f"error of {count} answers that mean what they say: {statistics.mean(found):.3f}"


def errors() -> Iterator[str]:
    for right in (0.65, 0.8, 0.93):
        fresh = answers(FRESH, right=right, seed=10_000)
        yield f"right {right:.0%}, {FRESH:,} fresh answers: error {error_of(fresh):.3f} before"
        for count in (100, 300, 900, 1_500, 5_000):
            found = []
            for seed in range(DRAWS):
                fitted = fit(answers(count, right=right, seed=seed))
                found.append(error_of([recalibrated(each, fitted.fitted) for each in fresh]))
            yield (
                f"  {fitted.method} of {count:,} labels: mean {statistics.mean(found):.3f}, "
                f"worst of {DRAWS} {max(found):.3f}"
            )


def coverages() -> Iterator[str]:
    for count in (300, 1_500):
        for level, concentration in LEVELS.items():
            found = [coverage(concentration, seed, count) for seed in range(SEEDS)]
            means = [statistics.mean(each) for each in zip(*found, strict=True)]
            yield (
                f"{count:,} labels, right {level}: sets for 90 and 95 % hold the true class for "
                f"{means[0]:.2%} and {means[1]:.2%} of 2,000 fresh answers, mean of {SEEDS} seeds; "
                f"{means[2]:.2f} and {means[3]:.2f} classes each"
            )


def coverage(concentration: float, seed: int, labels: int = 300) -> list[float]:
    """Shares of answers covered by sets for 90 and 95 %, and the mean sizes of these sets."""
    fitted = fit(drawn(labels, seed=seed, concentration=concentration)).fitted
    fresh = drawn(2_000, seed=seed + 1_000_000, concentration=concentration)
    told = [replace(each, said=for_sets(each.said, fitted)) for each in fresh]
    most = [fitted.rank(each) or 1.0 for each in (0.9, 0.95)]
    held = [statistics.mean(1 - each.said[each.true or 0] <= q for each in told) for q in most]
    sizes = [statistics.mean(sum(1 - p <= q for p in each.said) for each in told) for q in most]
    return [*held, *sizes]


def thresholds() -> Iterator[str]:
    for right in (0.8, 0.9):
        fresh = answers(FRESH, right=right, seed=10_000)
        for accuracy in (0.9, 0.95, 0.97):
            for count in (100, 300, 1_000):
                yield _kept(accuracy, count, right, fresh)


def _kept(accuracy: float, count: int, right: float, fresh: list[Labelled]) -> str:
    reached, shares = [], []
    for seed in range(5 * DRAWS):
        labelled = answers(count, right=right, seed=seed)
        fitted = fit(labelled).fitted
        told = [recalibrated(each, fitted) for each in labelled]
        found = threshold_for(told, accuracy).threshold
        if found is not None:
            accepted = [each.is_right for each in _sure(fresh, fitted, found)]
            reached.append(statistics.mean(accepted))
            shares.append(len(accepted) / len(fresh))
    told_of = f"threshold for {accuracy:.0%} of {count:,} labels, right {right:.0%}"
    if not reached:
        return f"{told_of}: none in {5 * DRAWS} draws"
    return (
        f"{told_of}: {statistics.mean(reached):.1%} of fresh answers right, "
        f"{statistics.mean(shares):.0%} accepted; none in {5 * DRAWS - len(reached)} of "
        f"{5 * DRAWS} draws"
    )


def _sure(fresh: Iterable[Labelled], fitted, threshold: float) -> list[Labelled]:
    return [each for each in fresh if recalibrated(each, fitted).confidence >= threshold]


def speed() -> Iterator[str]:
    for count in (300, 1_500):
        method, took_s, _ = told_anew(count)
        yield f"{method} of 20 classes: {took_s * 1e6:.0f} us an answer"


def told_anew(count: int) -> tuple[str, float, float]:
    """The method chosen for this many labels, how long it takes for an answer of 20 classes, and
    how long it takes to normalise the same numbers to a sum of 1."""
    labels = tuple(f"c{place}" for place in range(20))
    found: Fit = fit(answers(count, labels=labels))
    fresh = answers(2_000, labels=labels, seed=10_000)
    plain = [list(each.said) for each in fresh]
    times, least = [], []
    for _ in range(9):
        began = time.process_time()
        for each in fresh:
            calibrated(each.said, found.fitted)
        ended = time.process_time()
        for told in plain:
            total = sum(told)
            _ = [share / total for share in told]
        times.append((ended - began) / len(fresh))
        least.append((time.process_time() - ended) / len(fresh))
    return found.method, min(times), min(least)


def figures() -> Iterator[Figure]:
    for count in (300, 1_500):
        method, took_s, least_s = told_anew(count)
        yield Figure(
            name=f"an answer of 20 classes by {method}",
            value=took_s * 1e6,
            unit="us of CPU",
            beside="dividing its numbers by their sum",
            beside_value=least_s * 1e6,
        )


PARTS = {each.__name__: each for each in (chance, errors, coverages, thresholds, speed)}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--parts", default=",".join(PARTS))
    options = arguments.parse_args()
    for name in options.parts.split(","):
        print("\n".join(PARTS[name]()))
    keep(figures(), options)


if __name__ == "__main__":
    main()
