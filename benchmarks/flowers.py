"""What the local model knows after a few photographs, and what it makes of other things.

    python -m benchmarks.flowers --images FOLDER

FOLDER holds `flowers/CLASS/`, and beside it folders of other pictures, `none/flowers/` (other
flowers) among them. Fifteen photographs of each flower teach a head, whose threshold comes from
these alone; it is asked about the others. Figures are means over random splits. "Accepted" is an
answer at or above the threshold.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import mean, median
from time import perf_counter
from typing import Any

import numpy as np

from app.calibration import calibration_error, reliability
from app.providers.local.head import Head
from app.providers.local.model import EfficientNetLite
from app.providers.local.neighbours import Neighbours
from app.providers.local.teaching import Examples, Lesson, teach
from app.result import NONE
from benchmarks.report import Figure, parser, report
from training.photographs import list_photographs, read_pixels

Array = np.ndarray[Any, Any]

PER_CLASS = 15
ACCURACY = 0.97
LOOKS = 20
RELATED = "none/flowers"


def embeddings(folder: Path) -> dict[str, Array]:
    """By the path two levels down, such as `flowers/daisy`."""
    model, found = EfficientNetLite(), defaultdict(list)
    for path in list_photographs(folder):
        kind = "/".join(path.relative_to(folder).parts[:2])
        found[kind].append(model.run(read_pixels(path)).embedding)
    return {kind: np.array(each) for kind, each in found.items()}


class Asked:
    """A head's answers about pictures.

    Attributes:
        accepted: without considering the distance; `near`: the distance does not contradict it.
        told: the confidence that the service reports.
    """

    def __init__(self, head: Head, pictures: Array) -> None:
        if head.taught is None or head.threshold is None:
            raise SystemExit("too few photographs: no threshold gives what was asked for")
        told = [head.probabilities(each) for each in pictures]
        self.answers = [max(each, key=each.__getitem__) for each in told]
        self.confidence = np.array([max(each.values()) for each in told])
        self.accepted = self.confidence >= head.threshold
        belongs = np.array([head.taught.belongs(each) for each in pictures])
        self.near = belongs >= 0.5
        self.told = self.confidence * np.minimum(1, 2 * belongs)


def lesson_of(flowers: dict[str, Array], none: Array | None = None) -> Lesson:
    labels = [label for label, each in flowers.items() for _ in each]
    taught = list(flowers.values())
    if none is not None:
        labels += [NONE] * len(none)
        taught.append(none)
    return teach(Examples.of(np.concatenate(taught), labels), "", accuracy=ACCURACY)


def one_split(
    random: np.random.Generator, flowers: dict[str, Array], others: dict[str, Array]
) -> dict[str, Any]:
    shuffled = {label: each[random.permutation(len(each))] for label, each in flowers.items()}
    learned = {label: each[:PER_CLASS] for label, each in shuffled.items()}
    truth = np.array([label for label, each in shuffled.items() for _ in each[PER_CLASS:]])
    asked = np.concatenate([each[PER_CLASS:] for each in shuffled.values()])
    lesson = lesson_of(learned)
    seen = Asked(lesson.head, asked)
    right = np.array(seen.answers) == truth
    passed = {name: Asked(lesson.head, each) for name, each in others.items()}
    related = others[RELATED][random.permutation(len(others[RELATED]))]
    half = len(related) // 2
    warned = lesson_of(learned, related[:half]).head
    flowers_then, related_then = Asked(warned, asked), Asked(warned, related[half:])
    accepted_then = flowers_then.accepted & flowers_then.near
    right_then = np.array(flowers_then.answers) == truth
    return {
        "temperature": lesson.temperature,
        "threshold": lesson.head.threshold,
        "right": right,
        "told": seen.told,
        "accepted": seen.accepted,
        "near": seen.near,
        "passed": {name: (each.accepted, each.near) for name, each in passed.items()},
        "then": (accepted_then, right_then, related_then.accepted & related_then.near),
    }


def share(flags: list[Array]) -> float:
    return round(float(np.concatenate(flags).mean()), 4)


def means(splits: list[dict[str, Any]]) -> dict[str, Any]:
    def right_of(accepted: list[Array], right: list[Array]) -> float:
        return share([each[kept] for each, kept in zip(right, accepted, strict=True)])

    right = [each["right"] for each in splits]
    plain = [each["accepted"] for each in splits]
    near = [each["accepted"] & each["near"] for each in splits]
    then = [each["then"] for each in splits]
    said = np.concatenate([each["told"] for each in splits])
    return {
        "splits": len(splits),
        "temperature": round(mean(each["temperature"] for each in splits), 3),
        "threshold": round(mean(each["threshold"] for each in splits), 3),
        "flowers": {
            "right": share(right),
            "calibration_error": round(
                calibration_error(reliability(said, np.concatenate(right))), 4
            ),
            "out_of_domain": share([~each["near"] for each in splits]),
            "accepted": {"without_distance": share(plain), "with_distance": share(near)},
            "right_of_accepted": {
                "without_distance": right_of(plain, right),
                "with_distance": right_of(near, right),
            },
        },
        "accepted_of_others": {
            name: {
                "without_distance": share([each["passed"][name][0] for each in splits]),
                "with_distance": share([np.logical_and(*each["passed"][name]) for each in splits]),
            }
            for name in splits[0]["passed"]
        },
        f"half_of_{RELATED}_taught_as_none": {
            "flowers_accepted": share([each[0] for each in then]),
            "right_of_accepted": right_of([each[0] for each in then], [each[1] for each in then]),
            "other_half_accepted": share([each[2] for each in then]),
        },
    }


def distance_ms(flowers: dict[str, Array]) -> float:
    """The duration of computing the distance once."""
    pictures = np.concatenate(list(flowers.values()))
    taught = Neighbours.of(pictures, np.repeat(np.arange(len(flowers)), 20)[: len(pictures)])
    return median_ms(taught.belongs, pictures, rounds=2_000)


def look_ms(folder: Path) -> float:
    """The duration of running the model once, on a picture that is prepared."""
    pixels = [read_pixels(path) for path in list_photographs(folder)[:LOOKS]]
    return median_ms(EfficientNetLite().run, pixels, rounds=10 * LOOKS)


def median_ms(work: Callable[[Any], object], pictures: Sequence[Any], *, rounds: int) -> float:
    work(pictures[0])
    times = []
    for turn in range(rounds):
        start = perf_counter()
        work(pictures[turn % len(pictures)])
        times.append(perf_counter() - start)
    return round(median(times) * 1000, 4)


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    told, others = found["flowers"], found["accepted_of_others"][RELATED]
    for name, shares in (
        ("flowers accepted", told["accepted"]),
        ("accepted flowers that are right", told["right_of_accepted"]),
        ("other flowers accepted", others),
    ):
        yield Figure(
            name=name,
            value=shares["with_distance"],
            unit="%",
            better="lower" if shares is others else "higher",
            beside="by the threshold alone",
            beside_value=shares["without_distance"],
        )
    yield Figure(
        name="time of the check whether a picture belongs",
        value=found["distance_ms"],
        unit="ms",
        beside="the model's look at it",
        beside_value=found["look_ms"],
        of_clock=True,
    )


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--images", type=Path, required=True)
    options.add_argument("--splits", type=int, default=50)
    arguments = options.parse_args()
    seen = embeddings(arguments.images)
    flowers = {
        kind.removeprefix("flowers/"): each
        for kind, each in seen.items()
        if kind.startswith("flowers/")
    }
    others: dict[str, list[Array]] = defaultdict(list)
    for kind, each in seen.items():
        if not kind.startswith("flowers/"):
            others[kind if kind.startswith("none/") else kind.split("/")[0]].append(each)
    strangers = {name: np.concatenate(each) for name, each in others.items()}
    splits = [
        one_split(np.random.default_rng(seed), flowers, strangers)
        for seed in range(arguments.splits)
    ]
    found = means(splits) | {
        "distance_ms": distance_ms(flowers),
        "look_ms": look_ms(arguments.images / "flowers"),
    }
    report(found, arguments, figures(found))


if __name__ == "__main__":
    main()
