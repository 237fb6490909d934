"""The confidence from which answers are right as often as requested."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import floor
from typing import Literal

from app.calibration.calibrations import Calibrations
from app.calibration.fitting import as_in_force, too_few
from app.calibration.labelled import Labelled, effective, read_labelled
from app.domains import DomainRegistry
from app.storage import CalibrationKey, LabelledRepository
from app.tally import wilson

MIN_LABELS = 50
"""With fewer, hardly any accuracy can be established: 50 right answers out of 50 mean 93 % or
more."""

Reason = Literal["too_few_labels", "unreachable"]

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Threshold:
    """
    Attributes:
        threshold: None: `reason` says why there is none.
        share_accepted: of all answers that the labelled ones stand for, including "none of these",
            which is never accepted.
        accuracy: of those at the threshold or above; None without any.
        interval: contains it with 95 % confidence, for the effective number of answers.
        accepted: number of labelled answers at the threshold or above.
        labels: labelled answers that were used.
    """

    threshold: float | None
    reason: Reason | None
    share_accepted: float
    accuracy: float | None
    interval: tuple[float, float] | None
    accepted: int
    labels: int


@dataclass(frozen=True, slots=True)
class Thresholds:
    """For the answers of `key`; `calibration`: the one applied to them, None: none."""

    key: CalibrationKey
    calibration: str | None
    all: Threshold
    per_label: dict[str, Threshold] = field(default_factory=dict)


class ThresholdFinder:
    def __init__(
        self, labelled: LabelledRepository, calibrations: Calibrations, domains: DomainRegistry
    ) -> None:
        self._labelled = labelled
        self._calibrations = calibrations
        self._domains = domains

    async def find(
        self,
        domain: str,
        accuracy: float,
        *,
        provider: str | None = None,
        label: str | None = None,
        per_label: bool = False,
        caller: str | None = None,
    ) -> Thresholds:
        """For the answers of `provider`, or else of the provider with the most labels; only answers
        `label`; `per_label`: also for each class separately. `caller` None: all callers' labels.
        Raises DomainNotFound, TooFewLabels, StorageUnavailable."""
        known = await self._domains.find(domain)
        counts = await self._labelled.counts(known.name, known.version, caller=caller)
        keys = [key for key in counts if provider in (None, key.provider)]
        if not keys:
            raise too_few(0, MIN_LABELS)
        labelled = await read_labelled(self._labelled, keys[0], caller=caller)
        calibration = self._calibrations.of(keys[0])
        fitted = None if calibration is None else calibration.fitted

        def work() -> Thresholds:
            answers = as_in_force(labelled, fitted)
            if label is not None:
                answers = [each for each in answers if each.label == label]
            if len(answers) < MIN_LABELS:
                raise too_few(len(answers), MIN_LABELS)
            apart = known.labels if per_label else ()
            return Thresholds(
                keys[0],
                None if calibration is None else calibration.id,
                threshold_for(answers, accuracy),
                {name: threshold_for(_saying(name, answers), accuracy) for name in apart},
            )

        return await asyncio.to_thread(work)


def threshold_for(answers: Sequence[Labelled], accuracy: float) -> Threshold:
    """The lowest confidence from which on the answers reach `accuracy`, even with one more wrong
    answer.

    That one has the weight of each of the equally weighted answers that carry the same information.
    Without it, the threshold would be the luckiest of many places. With it, fresh answers are right
    as often as requested on average, wherever there are enough labels to find a threshold nearly
    always (`python -m benchmarks.calibration`).
    """
    count = len(answers)
    if effective(answers) < MIN_LABELS:
        return Threshold(None, "too_few_labels", 0.0, None, None, 0, count)
    ranked = sorted(
        (each for each in answers if each.label is not None),
        key=lambda each: each.confidence,
        reverse=True,
    )
    accepted, weight, squares, right = 0, 0.0, 0.0, 0.0
    for place, each in enumerate(ranked, 1):
        weight += each.weight
        squares += each.weight**2
        right += each.weight * each.is_right
        follows = ranked[place].confidence if place < len(ranked) else -1.0
        one_more = squares / weight
        if _told(follows) < _told(each.confidence) and right >= accuracy * (weight + one_more):
            accepted = place
    if not accepted:
        return Threshold(None, "unreachable", 0.0, None, None, 0, count)
    stand = ranked[:accepted]
    weight = sum(each.weight for each in stand)
    share, worth = sum(each.weight for each in stand if each.is_right) / weight, effective(stand)
    return Threshold(
        _told(stand[-1].confidence),
        None,
        weight / sum(each.weight for each in answers),
        share,
        wilson(share * worth, worth),
        accepted,
        count,
    )


def _told(confidence: float) -> float:
    """As it appears in a result, or slightly less."""
    return floor(confidence * MILLION) / MILLION


def _saying(label: str, answers: Iterable[Labelled]) -> list[Labelled]:
    return [each for each in answers if each.label == label]
