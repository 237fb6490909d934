"""Calibrating a provider's probabilities so that they match its accuracy."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.calibration.tempering import LEAST, MOST, logarithms, sharpness_for, tempered
from app.providers.base import ProviderAnswer
from app.result import NONE, none_of_these
from app.storage import CalibrationKey, CalibrationRow

Method = Literal["temperature", "isotonic"]
Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]

ROUNDED = 1e-6
"""Precision of the probabilities in results."""
TINY = 1e-9


class Fitted(BaseModel):
    """The result of a fit.

    Attributes:
        temperature: divides logarithms of probabilities; None: `curve` is used instead.
        curve: from the greatest probability of an answer to its calibrated value; knots, with
            straight lines between them, constant beyond the ends.
        scores: 1 minus the probability of the true class as used for sets (`for_sets`), ascending;
            evenly spaced among all where there are many.
        answers: how many answers the scores represent; fewer if weights differ: as many as weigh
            the same as the heaviest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    temperature: float | None = Field(None, ge=1 / MOST, le=1 / LEAST)
    curve: tuple[tuple[Share, OpenShare], ...] | None = Field(None, min_length=1)
    scores: tuple[Share, ...] = ()
    answers: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.temperature is None) == (self.curve is None):
            raise ValueError("either a temperature or a curve")
        if list(self.scores) != sorted(self.scores) or self.answers < len(self.scores):
            raise ValueError("scores: out of order")
        return self

    def rank(self, coverage: float) -> float | None:
        """The score that this share of fresh answers does not exceed; None: there are too few
        answers to guarantee any."""
        wanted = ceil((self.answers + 1) * coverage - TINY)
        if wanted > self.answers:
            return None
        return self.scores[ceil(wanted * len(self.scores) / self.answers) - 1]


@dataclass(frozen=True, slots=True)
class Calibration:
    """A version, fitted on answers of one provider's model about one domain.

    Attributes:
        labels: answers that it was fitted on.
        ece_before, ece_after: expected calibration error of these answers, 0 to 1; after: each by a
            fit that had not seen it.
    """

    id: str
    key: CalibrationKey
    method: Method
    labels: int
    ece_before: float
    ece_after: float
    fitted: Fitted
    created_at: datetime

    @classmethod
    def of(cls, row: CalibrationRow) -> Self:
        """Raises ValueError if it can't be read."""
        if row.method not in get_args(Method):
            raise ValueError(f"method: {row.method}")
        try:
            fitted = Fitted.model_validate_json(row.fitted)
        except ValidationError as error:
            raise ValueError(str(error)) from None
        return cls(
            row.id,
            row.key,
            row.method,  # type: ignore[arg-type]
            row.labels,
            row.ece_before,
            row.ece_after,
            fitted,
            row.created_at,
        )

    def apply(self, probabilities: Mapping[str, float]) -> dict[str, float]:
        """The calibrated probabilities of the same classes. What they lack to 1 is the probability
        of "none of these", before and after. The order of classes is preserved, which limits how
        low the answer's probability can become, even where the curve gives less."""
        found = calibrated(_all_of(probabilities), self.fitted)
        return dict(zip(probabilities, found, strict=False))

    def of_answer(self, answer: ProviderAnswer) -> ProviderAnswer:
        """The same with calibrated probabilities."""
        return replace(answer, probabilities=self.apply(answer.probabilities))

    def prediction_set(self, said: Mapping[str, float], coverage: float) -> list[str]:
        """Labels, including NONE, most probable first, that contain the true class for a share
        `coverage` of pictures; from the provider's own probabilities `said`. All labels if there
        are too few labelled answers to guarantee that, none if no class is probable enough.

        Split conformal prediction with the score 1 - p (Vovk et al., Algorithmic Learning in a
        Random World, 2005; Sadinle et al., Least Ambiguous Set-Valued Classifiers, 2019).
        """
        every = dict(zip((*said, NONE), for_sets(_all_of(said), self.fitted), strict=True))
        ranked = sorted(every, key=every.__getitem__, reverse=True)
        most = self.fitted.rank(coverage)
        if most is None:
            return ranked
        return [label for label in ranked if 1 - every[label] <= most + ROUNDED]


def _all_of(probabilities: Mapping[str, float]) -> list[float]:
    return [*probabilities.values(), none_of_these(probabilities)]


def calibrated(said: Sequence[float], fitted: Fitted) -> list[float]:
    """`said`: for all classes, including "none of these"."""
    logs = logarithms(said)
    if fitted.temperature is not None:
        return tempered(logs, 1 / fitted.temperature)
    return tempered(logs, sharpness_for(logs, _on(fitted.curve or (), max(said))))


def for_sets(said: Sequence[float], fitted: Fitted) -> Sequence[float]:
    """The probabilities used for prediction sets: calibrated by a temperature, but not by a curve,
    whose flat parts make many equal, so that sets would cover more than requested."""
    return said if fitted.temperature is None else calibrated(said, fitted)


def _on(curve: tuple[tuple[float, float], ...], said: float) -> float:
    place = bisect_left(curve, (said,))
    if place == 0:
        return curve[0][1]
    if place == len(curve):
        return curve[-1][1]
    (x0, y0), (x1, y1) = curve[place - 1], curve[place]
    return y0 + (y1 - y0) * (said - x0) / (x1 - x0)
