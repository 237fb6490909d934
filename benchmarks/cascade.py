"""What a cascade from the local model to a simulated GPT-4o costs, and how right it is.

    python -m benchmarks.cascade --images FOLDER [--rounds 3] [--json OUT]

FOLDER holds `flowers/CLASS/`, `animals/CLASS/`, and pictures of neither in `none/none` and
`objects`. Each picture is asked about in the service's own
pipeline, once through the cascade and once of GPT-4o alone, which is simulated: right 97 times of a
hundred, as sure as it is right, with another seed in each round. Neither heads nor thresholds come
from the pictures that are asked about:

- flowers: a head is taught with 10, or with 15, photographs of each class, and its threshold is the
  one that cross-validation found in these alone; the others are asked about.
- animals: the local model knows them untaught; three quarters of the photographs, and as many of
  the pictures of none of them, are answered by it and labelled, the threshold is found from these
  labels, and the last quarter of the animals is asked about. Once the domain's own threshold is the
  usual 0.7, below which no answer stands either, and once what is found from the same labels.
"""

import argparse
import asyncio
import hashlib
import json
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from app.domains import Cascade, Domain
from app.evaluation import Judged, judge_all
from app.images import Upload, prepare
from app.parts import Parts, build_parts
from app.result import NONE
from app.settings import Settings
from app.settings_groups import AzureOpenAISettings, CacheSettings
from app.storage.audit import COMMAND_LINE
from app.tally import wilson
from app.telemetry.logging import LoggingConfig, configure_logging
from benchmarks.report import Figure, keep, parser, run
from tests.simulator_process import SimulatorProcess
from training.photographs import list_photographs

RPM = 60_000
RIGHT = 0.97
MODEL = "gpt-4o"

Pictures = list[tuple[Path, str]]


@dataclass
class Sums:
    """Sums over all rounds of one way."""

    cascade: list[Judged] = field(default_factory=list)
    alone: list[Judged] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)
    saved_usd: float = 0.0

    def figures(self) -> dict[str, float | int | list[float] | None]:
        asked = len(self.cascade)
        stood = [each for each in self.cascade if each.provider == "local"]
        right = sum(each.right for each in self.cascade)
        cost = sum(each.cost_usd or 0.0 for each in self.cascade)
        alone = sum(each.cost_usd or 0.0 for each in self.alone)
        return {
            "asked": asked,
            "threshold": round(sum(self.thresholds) / len(self.thresholds), 3),
            "calls_share": round(1 - len(stood) / asked, 4),
            "right": round(right / asked, 4),
            "right_95": [round(each, 4) for each in wilson(right, asked) or (0.0, 1.0)],
            "right_of_stood": round(sum(each.right for each in stood) / len(stood), 4),
            "right_all_azure": round(sum(each.right for each in self.alone) / asked, 4),
            "usd_per_1000": round(1000 * cost / asked, 4),
            "usd_per_1000_all_azure": round(1000 * alone / asked, 4),
            "saved_per_1000": round(1000 * (alone - cost) / asked, 4),
            "booked_as_saved_per_1000": round(1000 * self.saved_usd / asked, 4),
        }


def domain_of(name: str, pictures: Pictures) -> Domain:
    return Domain(
        name=f"{name}-in-two-steps",
        classes=sorted({label for _, label in pictures}),
        providers=("local", "azure_openai"),
        cascade=Cascade(accuracy=RIGHT),
    )


def truth_of(pictures: Pictures) -> dict[str, str]:
    """By the SHA-256 of what a provider receives."""
    return {
        hashlib.sha256(prepare(path.read_bytes(), longest=512).jpeg).hexdigest(): label
        for path, label in pictures
    }


def settings_of(url: str) -> Settings:
    """Each picture is sent to the provider, even if it was before."""
    return Settings(
        database_url="sqlite://",
        azure_openai=AzureOpenAISettings(
            endpoint=url, api_key="any", deployment=MODEL, model=MODEL
        ),
        rate_limit_rpm=RPM,
        cache=CacheSettings(ttl=0),
    )


async def judged(
    parts: Parts, pictures: Pictures, domain: Domain, provider: str | None
) -> list[Judged]:
    answers = judge_all(
        parts.classification, pictures, domain=domain.name, provider=provider, at_once=4
    )
    return [each async for each in answers]


async def taught(parts: Parts, domain: Domain, pictures: Pictures) -> None:
    for path, label in pictures:
        seen = await parts.collecting.see(Upload(path.read_bytes()), domain)
        await parts.collecting.keep(domain, label, seen, caller="benchmark")
    await parts.lessons.teach(domain.name, accuracy=RIGHT, by=COMMAND_LINE)


async def labelled(parts: Parts, domain: Domain, pictures: Pictures) -> None:
    await judged(parts, pictures, domain, "local")
    await parts.surenesses.look()


async def with_own_threshold(parts: Parts, domain: Domain, pictures: Pictures) -> None:
    await labelled(parts, domain, pictures)
    found = (await parts.thresholds.find(domain.name, RIGHT, provider="local")).all
    if found.threshold is None:
        raise SystemExit(f"no threshold reaches {RIGHT:.0%}")
    own = domain.model_copy(update={"confidence_threshold": found.threshold})
    await parts.domains.replace(own, by=COMMAND_LINE)


async def one(
    url: str, way: "Way", domain: Domain, learned: Pictures, asked: Pictures, sums: Sums
) -> None:
    async with build_parts(settings_of(url)) as parts:
        await parts.domains.create(domain, by=COMMAND_LINE)
        await way.learn(parts, domain, learned)
        sums.cascade += await judged(parts, asked, domain, None)
        sureness = await parts.surenesses.now("local", domain)
        sums.thresholds.append(1.0 if sureness.threshold is None else sureness.threshold)
        stood = sum(each.provider == "local" for each in sums.cascade[-len(asked) :])
        sums.saved_usd += await booked(parts, stood)
        sums.alone += await judged(parts, asked, domain, "azure_openai")


async def booked(parts: Parts, answers: int) -> float:
    """US dollars that the ledger says the cascade saved, once this many answers are summed."""
    while True:
        saved = (await parts.costs.report()).savings.cascade
        if saved.answers >= answers:
            return float(saved.usd)
        await asyncio.sleep(0.1)


def splits(pictures: Pictures, parts: int, seed: int) -> Iterator[tuple[Pictures, Pictures]]:
    """Yield what to learn from and what to ask about, so that each picture of a class is asked
    about once."""
    from sklearn.model_selection import StratifiedKFold  # type: ignore[import-untyped]

    labels = [label for _, label in pictures]
    folds = StratifiedKFold(parts, shuffle=True, random_state=seed)
    for learned, asked in folds.split(labels, labels):
        known = [pictures[each] for each in asked if pictures[each][1] != NONE]
        yield [pictures[each] for each in learned], known


class Way(NamedTuple):
    """One way to learn, from all but one of `parts` parts and from pictures of `none`."""

    name: str
    folder: str
    parts: int
    learn: Callable[[Parts, Domain, Pictures], Awaitable[None]]
    none: tuple[str, ...] = ()


STRANGERS = ("none/none", "objects")
WAYS = (
    Way("flowers, 10 a class", "flowers", 2, taught),
    Way("flowers, 15 a class", "flowers", 4, taught),
    Way("animals", "animals", 4, labelled, STRANGERS),
    Way("animals, own threshold", "animals", 4, with_own_threshold, STRANGERS),
)


def labelled_below(folder: Path) -> Pictures:
    return [(path, path.parent.name) for path in list_photographs(folder)]


async def measure(images: Path, rounds: int) -> dict[str, dict[str, Any]]:
    found = {}
    for way in WAYS:
        pictures = labelled_below(images / way.folder)
        domain, sums, truth = domain_of(way.folder, pictures), Sums(), truth_of(pictures)
        strangers = [(path, NONE) for each in way.none for path, _ in labelled_below(images / each)]
        for seed in range(rounds):
            with tempfile.TemporaryDirectory() as place:
                (Path(place) / "truth.json").write_text(json.dumps(truth))
                simulator = SimulatorProcess(
                    *("--deployment", f"{MODEL}:{MODEL}:{RPM}:{10**9}", "--latency", "0"),
                    *("--accuracy", str(RIGHT), "--truth", f"{place}/truth.json"),
                    *("--seed", str(seed)),
                )
                try:
                    for learned, asked in splits(pictures + strangers, way.parts, seed):
                        await one(simulator.url, way, domain, learned, asked, sums)
                finally:
                    simulator.stop()
        found[way.name] = sums.figures()
    return found


HEADS = {
    "asked": "asked",
    "threshold": "threshold",
    "calls_share": "calls",
    "right": "right",
    "right_95": "95 %",
    "right_of_stood": "local's right",
    "right_all_azure": "all Azure right",
    "usd_per_1000": "$ for 1,000",
    "usd_per_1000_all_azure": "all Azure $",
    "booked_as_saved_per_1000": "booked saved $",
}
SHARES = ("calls_share", "right", "right_of_stood", "right_all_azure")


def show(found: dict[str, dict[str, object]]) -> None:
    table = Table("", *HEADS.values())
    for column in table.columns[1:]:
        column.justify = "right"
    for way, figures in found.items():
        table.add_row(way, *(_cell(name, figures[name]) for name in HEADS))
    Console(width=150, highlight=False).print(table)


def _cell(name: str, value: object) -> str:
    if isinstance(value, Sequence):
        return " to ".join(f"{each:.1%}" for each in value)
    return f"{value:.1%}" if name in SHARES else str(value)


def figures(found: dict[str, dict[str, Any]]) -> Iterator[Figure]:
    for way, each in found.items():
        yield Figure(
            name=f"{way}: right",
            value=each["right"],
            unit="%",
            better="higher",
            beside="simulated GPT-4o alone",
            beside_value=each["right_all_azure"],
        )
        yield Figure(
            name=f"{way}: $ for 1,000",
            value=each["usd_per_1000"],
            beside="simulated GPT-4o alone",
            beside_value=each["usd_per_1000_all_azure"],
        )


def arguments() -> argparse.Namespace:
    options = parser(__doc__, rounds=3)
    options.add_argument("--images", type=Path, required=True)
    return options.parse_args()


def main() -> None:
    options = arguments()
    configure_logging(LoggingConfig(level="error"))
    found = run(measure(options.images, options.rounds))
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    keep(figures(found), options)


if __name__ == "__main__":
    main()
