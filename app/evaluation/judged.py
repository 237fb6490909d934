"""One answer compared with the truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from app.result import FIELDS, NONE, Failure, none_of_these


@dataclass(frozen=True, slots=True)
class Judged:
    """
    Attributes:
        name: of the picture: a path, an item's or a result's id.
        expected: the true class, or NONE.
        predicted: the answer, or NONE; None when there was no answer.
        confidence: of the answer, 0 to 1.
        seconds: from request to answer.
        status: the verdict: whether the answer was accepted; None: there was no verdict.
        reasons: why a person should review it.
        brier: of its probabilities, 0 to 2; None where they are not known.
        raw_confidence: before calibration; None where there was none.
        cached: it was the answer to an earlier request: nothing was paid.
        sha256: of the picture, in hex.
        at: time of the request.
    """

    name: str
    expected: str
    predicted: str | None
    confidence: float
    seconds: float
    error: str | None = None
    status: str | None = None
    reasons: tuple[str, ...] = ()
    brier: float | None = None
    raw_confidence: float | None = None
    cached: bool = False
    cost_usd: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    sha256: str | None = None
    result_id: str | None = None
    provider: str | None = None
    model: str | None = None
    confidence_source: str | None = None
    calibration: str | None = None
    domain_version: str | None = None
    at: datetime | None = None

    @classmethod
    def of(
        cls, values: Sequence[Any], *, name: str | None = None, seconds: float | None = None
    ) -> Self:
        """From a result that is labelled and not pending, by `app.result.FIELDS`; with its own name
        and time where none are given."""
        row = dict(zip(FIELDS, values, strict=True))
        failed = row["status"] == "failed"
        usage, image = row["usage"] or {}, row["image"] or {}
        if seconds is None:
            seconds = (row["timings_ms"] or {}).get("total", 0.0) / 1000
        return cls(
            name=name or row["item_id"] or row["id"],
            expected=row["expected"],
            predicted=None if failed else row["predicted_class"] or NONE,
            confidence=row["confidence"] or 0.0,
            seconds=seconds,
            error=Failure(**row["error"]).detail if row["error"] else None,
            status=row["status"],
            reasons=tuple(row["review_reasons"] or ()),
            brier=brier(row["probabilities"], row["expected"]),
            raw_confidence=row["raw_confidence"],
            cached=bool(row["cached"]),
            cost_usd=usage.get("cost_usd"),
            prompt_tokens=usage.get("prompt_tokens"),
            completion_tokens=usage.get("completion_tokens"),
            sha256=image.get("sha256"),
            result_id=row["id"],
            **{each: row[each] for each in _SAME},
            at=row["created_at"],
        )

    @property
    def right(self) -> bool:
        return self.predicted == self.expected

    @property
    def is_class(self) -> bool:
        """Whether it was answered with a class."""
        return self.predicted not in (None, NONE)

    @property
    def key(self) -> str:
        """Identifies its picture, also across runs."""
        return self.sha256 or self.name


_SAME = ("provider", "model", "confidence_source", "calibration", "domain_version")

READ = frozenset(
    (
        *("id", "expected", "predicted_class", "confidence", "probabilities", "raw_confidence"),
        *("status", "review_reasons", "error", "cached", "usage", "timings_ms", "image"),
        *("created_at", *_SAME),
    )
)
"""The fields that `Judged.of` reads."""


def brier(probabilities: Mapping[str, float] | None, expected: str) -> float | None:
    """The sum over all classes, including "none of these", of the squared difference between its
    probability and 1 if it is the true one, else 0 (Brier, 1950): 0 is best, 2 worst. None without
    probabilities."""
    if probabilities is None:
        return None
    none = none_of_these(probabilities)
    true = none if expected == NONE else probabilities.get(expected, 0.0)
    return none**2 + sum(each**2 for each in probabilities.values()) - 2 * true + 1
