"""What a few examples teach, and what a month of reviews makes of it.

    python -m benchmarks.taught --images FOLDER

FOLDER holds `flowers/CLASS/`, `custom_trees/CLASS/`, `custom_utensils/CLASS/` and `none/flowers/`,
which are tulips. A head is taught with some photographs of each class and asked about the others;
figures are means over random splits. "Accepted" is an answer at or above the threshold that the
examples gave for 97 %, of a picture that is like what was taught.

Reviews begin with a head that was taught with five photographs of each flower. They bring 20 more,
of those that it is least sure of, or of any; honest, with one in ten wrong, or poisoned. Whether
they are refused is decided as in the service; the share told right is of 20 other photographs.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from app.providers.local.head import Head
from app.providers.local.teaching import Examples, teach
from app.result import NONE
from app.teaching.judging import judge
from benchmarks.flowers import Asked, embeddings
from benchmarks.report import Figure, parser, report

Array = np.ndarray[Any, Any]
Pictures = dict[str, Array]

FEW = {"flowers": 10, "custom_trees": 2, "custom_utensils": 2}
"""Examples of each class."""
TULIPS = 10
BASE, REVIEWED = 5, 20
MONTHS = 0.2
"""Share of the splits that are reviewed in each way: judging takes as long as teaching twice."""
WRONG_OFTEN = 0.1


def drawn(random: np.random.Generator, pictures: Pictures, count: int) -> tuple[Pictures, Pictures]:
    """This many of each class, and the others."""
    mixed = {label: each[random.permutation(len(each))] for label, each in pictures.items()}
    return (
        {label: each[:count] for label, each in mixed.items()},
        {label: each[count:] for label, each in mixed.items()},
    )


def listed(pictures: Pictures) -> tuple[Array, list[str]]:
    labels = [label for label, each in pictures.items() for _ in each]
    return np.concatenate(list(pictures.values())), labels


def taught(pictures: Pictures) -> Head:
    return teach(Examples.of(*listed(pictures)), "").head


def told(head: Head, asked: Array) -> list[str]:
    found = (head.probabilities(each) for each in asked)
    return [max(each, key=each.__getitem__) for each in found]


def right(head: Head, pictures: Pictures) -> Array:
    asked, truth = listed(pictures)
    return np.array(told(head, asked)) == np.array(truth)


def few(kinds: Pictures, count: int, splits: int) -> dict[str, Any]:
    shares = []
    for seed in range(splits):
        learned, others = drawn(np.random.default_rng(seed), kinds, count)
        shares.append(float(right(taught(learned), others).mean()))
    return {
        "classes": len(kinds),
        "examples_a_class": count,
        "splits": splits,
        "right": round(float(np.mean(shares)), 4),
        "standard_deviation": round(float(np.std(shares)), 4),
    }


def with_none(flowers: Pictures, tulips: Array, splits: int) -> dict[str, Any]:
    """With ten tulips as examples of none: what becomes of the other tulips and of the flowers."""
    found: dict[str, list[float]] = {}
    for seed in range(splits):
        random = np.random.default_rng(seed)
        learned, others = drawn(random, flowers, FEW["flowers"])
        mixed = tulips[random.permutation(len(tulips))]
        asked, truth = listed(others)
        for name, more in (("without", {}), ("with_none", {NONE: mixed[:TULIPS]})):
            head = taught(learned | more)
            seen, stranger = Asked(head, asked), Asked(head, mixed[TULIPS:])
            accepted = seen.accepted & seen.near
            hit = np.array(seen.answers) == np.array(truth)
            told = {
                "right": hit.mean(),
                "accepted": accepted.mean(),
                "right_of_accepted": hit[accepted].mean() if accepted.any() else np.nan,
                "tulips_accepted": (stranger.accepted & stranger.near).mean(),
            }
            for figure, value in told.items():
                found.setdefault(f"{name}_{figure}", []).append(float(value))
    return {name: round(float(np.nanmean(each)), 4) for name, each in found.items()}


def poisons(labels: list[str], random: np.random.Generator) -> dict[str, Any]:
    """By name: what a reviewer answers for a true class."""

    def other(label: str) -> str:
        return str(random.choice([each for each in labels if each != label]))

    def shifted(label: str) -> str:
        return labels[(labels.index(label) + 1) % len(labels)]

    return {
        "honest": lambda label: label,
        "one_in_ten_wrong": lambda label: other(label) if random.random() < WRONG_OFTEN else label,
        "half_wrong": lambda label: other(label) if random.random() < 0.5 else label,
        "any_wrong_class": other,
        "classes_shifted": shifted,
        "always_the_same": lambda label: labels[0],
    }


def reviews(flowers: Pictures, splits: int) -> dict[str, Any]:
    """How often each kind of review is refused, and what it would have done, or did, to the
    rest."""
    found: dict[str, Any] = {}
    for queue in ("unsure", "random"):
        for name in poisons(sorted(flowers), np.random.default_rng(0)):
            runs = [reviewed(flowers, queue, name, seed) for seed in range(splits)]
            refused, before, after = (np.array(each) for each in zip(*runs, strict=True))
            found[f"{queue}, {name}"] = {
                "splits": splits,
                "refused": round(float(refused.mean()), 3),
                "right_before": round(float(before.mean()), 4),
                "right_if_taught": round(float(after.mean()), 4),
                "right_in_force": round(float(np.where(refused, before, after).mean()), 4),
            }
    return found


def reviewed(flowers: Pictures, queue: str, name: str, seed: int) -> tuple[bool, float, float]:
    random = np.random.default_rng(seed)
    known, others = drawn(random, flowers, BASE)
    held_out, pool = drawn(random, others, 5)
    head = taught(known)
    asked, truth = listed(pool)
    order = random.permutation(len(asked))
    if queue == "unsure":
        sure = [max(head.probabilities(each).values()) for each in asked]
        order = np.argsort(sure)
    chosen = order[:REVIEWED]
    say = poisons(sorted(flowers), random)[name]
    labels = [say(truth[place]) for place in chosen]
    first, first_labels = listed(known)
    every = Examples.of(np.concatenate([first, asked[chosen]]), first_labels + labels)
    is_new = np.arange(len(every.truth)) >= len(first)
    verdict = judge(every.at(~is_new), every.at(is_new), head)
    after = teach(every, "").head
    return (
        verdict.objection is not None,
        float(right(head, held_out).mean()),
        float(right(after, held_out).mean()),
    )


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    for group, each in found["few"].items():
        shown, examples = group.removeprefix("custom_"), each["examples_a_class"]
        yield Figure(
            name=f"{shown}, {examples} examples of each class: right",
            value=each["right"],
            unit="%",
            better="higher",
            beside=f"guessing among {each['classes']}",
            beside_value=1 / each["classes"],
        )
    none = found["ten_tulips_as_none"]
    yield Figure(
        name="tulips accepted as a flower after ten were taught as none",
        value=none["with_none_tulips_accepted"],
        unit="%",
        beside="without these ten",
        beside_value=none["without_tulips_accepted"],
    )
    honest = found["reviews"]["unsure, honest"]
    yield Figure(
        name="right after 20 reviews were learned",
        value=honest["right_in_force"],
        unit="%",
        better="higher",
        beside="before them",
        beside_value=honest["right_before"],
    )


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--images", type=Path, required=True)
    options.add_argument("--splits", type=int, default=50)
    arguments = options.parse_args()
    seen = embeddings(arguments.images)
    groups = {
        group: {
            kind.partition("/")[2]: each for kind, each in seen.items() if kind.startswith(group)
        }
        for group in FEW
    }
    found = {
        "few": {group: few(groups[group], FEW[group], arguments.splits) for group in FEW},
        "ten_tulips_as_none": with_none(groups["flowers"], seen["none/flowers"], arguments.splits),
        "reviews": reviews(groups["flowers"], max(1, round(arguments.splits * MONTHS))),
    }
    report(found, arguments, figures(found))


if __name__ == "__main__":
    main()
