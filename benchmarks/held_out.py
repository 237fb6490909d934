"""The evaluation report of a head, each photograph asked about by one that was not taught with it.

    python -m benchmarks.held_out FOLDER --none FOLDER [FOLDER ...] [--html OUT]

FOLDER holds a folder of photographs for each class. Four heads are each taught with three quarters
of every class, choose their threshold for 97 % from these alone, and are asked about the rest; the
first one is asked about the pictures of none of the classes, too, of which it was taught nothing.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import NamedTuple

import numpy as np

from app.classification.verdict import verdict
from app.domains import Domain
from app.evaluation import Judged, Mistake, Report, page, report, thumbnails
from app.evaluation.judged import brier
from app.providers.base import ProviderAnswer
from app.providers.local.model import EfficientNetLite, Prediction
from app.providers.local.provider import MODEL
from app.providers.local.recognise import FromHead
from app.providers.local.teaching import Examples, teach
from app.result import NONE
from benchmarks.report import Figure, keep, parser
from training.photographs import list_photographs, read_pixels

ROUNDS = 4
ACCURACY = 0.97


class Look(NamedTuple):
    """The model's output for a photograph, and how many seconds it took, including reading the
    file."""

    seen: Prediction
    seconds: float


def look(model: EfficientNetLite, path: Path) -> Look:
    began = perf_counter()
    return Look(model.run(read_pixels(path)), perf_counter() - began)


class HeldOut:
    """A head that was taught with some of the photographs, in place of a domain's provider."""

    def __init__(self, taught: list[tuple[str, Prediction]]) -> None:
        embeddings = np.array([seen.embedding for _, seen in taught])
        examples = Examples.of(embeddings, [label for label, _ in taught])
        head = teach(examples, "", accuracy=ACCURACY).head
        if head.threshold is None:
            raise SystemExit(f"no threshold reaches {ACCURACY:.0%}")
        self.threshold = head.threshold
        self._recognise = FromHead(head, {label: [label] for label in head.labels})
        self._domain = Domain(
            name="held-out", classes=head.labels, confidence_threshold=head.threshold
        )

    def judge(self, name: str, expected: str, seen: Prediction, looked_s: float) -> Judged:
        """`looked_s`: how long the prediction took."""
        began = perf_counter()
        found = self._recognise(seen)
        label, probabilities = found.answer(allow_none=False)
        answer = ProviderAnswer(
            label, probabilities, "local", MODEL, out_of_domain=found.out_of_domain
        )
        judged = verdict(answer, self._domain, good_picture=True, degraded=False)
        return Judged(
            name,
            expected,
            label,
            judged.confidence,
            looked_s + perf_counter() - began,
            status=judged.status,
            reasons=judged.reasons,
            brier=brier(probabilities, expected),
            provider="local",
            model=MODEL,
            confidence_source="local",
            cost_usd=0.0,
            prompt_tokens=0,
            completion_tokens=0,
        )


def judge_all(
    known: list[tuple[Path, str]], strangers: list[Path], looks: dict[Path, Look]
) -> Iterator[tuple[Judged, float]]:
    """With the threshold of the head that was asked."""
    from sklearn.model_selection import StratifiedKFold  # type: ignore[import-untyped]

    labels = [label for _, label in known]
    folds = StratifiedKFold(ROUNDS, shuffle=True, random_state=0)
    for number, (learned, asked) in enumerate(folds.split(labels, labels)):
        head = HeldOut([(known[place][1], looks[known[place][0]].seen) for place in learned])
        questions = [known[place] for place in asked]
        if number == 0:
            questions += [(path, NONE) for path in strangers]
        for path, truth in questions:
            yield head.judge(str(path), truth, *looks[path]), head.threshold


async def _file(mistake: Mistake) -> bytes:
    return await asyncio.to_thread(Path(mistake.name).read_bytes)


def figures(found: Report) -> Iterator[Figure]:
    yield Figure(
        name="flowers, held out: right",
        value=found.accuracy,
        unit="%",
        better="higher",
        beside="guessing among 4",
        beside_value=0.25,
    )
    yield Figure(
        name="flowers, held out: calibration error",
        value=found.ece,
        beside="taking each answer as certain",
        beside_value=1 - found.accuracy,
    )


def main() -> None:
    options = parser(__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--none", type=Path, nargs="*", default=[])
    options.add_argument("--html", type=Path)
    arguments = options.parse_args()
    model = EfficientNetLite()
    known = [(path, path.parent.name) for path in list_photographs(arguments.folder)]
    strangers = [path for folder in arguments.none for path in list_photographs(folder)]
    looks = {path: look(model, path) for path in (*(path for path, _ in known), *strangers)}
    judged, thresholds = zip(*judge_all(known, strangers, looks), strict=True)
    found = report(
        judged,
        sorted({label for _, label in known}),
        round(mean(thresholds), 3),
        what=f"{arguments.folder}, each photograph by a head that was not taught with it",
        domain=arguments.folder.name,
        at=datetime.now(UTC),
    )
    if arguments.html:
        arguments.html.write_text(page(found, asyncio.run(thumbnails(found, _file))), "utf-8")
    told = found.model_dump_json(indent=2, include={"accuracy", "ece", "alone", "none"})
    print(told)
    if arguments.json:
        arguments.json.write_text(told + "\n")
    keep(figures(found), arguments)


if __name__ == "__main__":
    main()
