"""The format of reports on quality and speed."""

from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Self

from pydantic import BaseModel, Field

from app.moment import TimeUnit
from app.tally import CONFIDENCE_EDGES, STAGES, Tally, population_stability, wilson

ENOUGH, ENOUGH_OF_EACH = 100, 20
"""Answers required in both periods, in total and for each of the compared names; with fewer, no
drift is reported. Without any drift, chance alone makes the index (names - 1) (1 / n + 1 / m) on
average (Yurdakul and Naranjo, Journal of Risk Model Validation 14, 2020)."""


class Percentiles(BaseModel):
    """Percentiles in milliseconds, within 5 %, of the results that went through the stage."""

    p50: float = Field(examples=[820.0])
    p90: float = Field(examples=[1_450.0])
    p95: float = Field(examples=[1_900.0])
    p99: float = Field(examples=[3_100.0])

    @classmethod
    def of(cls, tally: Tally, stage: str) -> Self | None:
        found = tally.percentiles(stage, 0.5, 0.9, 0.95, 0.99)
        if found is None:
            return None
        p50, p90, p95, p99 = found
        return cls(p50=p50, p90=p90, p95=p95, p99=p99)


class Labels(BaseModel):
    """Answers whose true class came from one source."""

    labelled: int = Field(examples=[140])
    right: int = Field(examples=[134])


class Unseen(BaseModel):
    """How often accepted answers, which nobody reviews, are right: estimated from those that were
    drawn at random and judged by a person."""

    value: float = Field(description="Share of right answers, 0 to 1.", examples=[0.986])
    interval: tuple[float, float] = Field(
        description="Where the true share lies with 95 % confidence (Wilson).",
        examples=[[0.95, 0.996]],
    )
    labelled: int = Field(
        description="Answers that were drawn at random and judged.", examples=[140]
    )

    @classmethod
    def of(cls, tally: Tally) -> Self | None:
        right, labelled = tally.unseen_right, tally.unseen_labelled
        interval = wilson(right, labelled)
        if interval is None:
            return None
        return cls(value=right / labelled, interval=interval, labelled=labelled)


class ConfidencePart(BaseModel):
    """Answers whose confidence is from `at_least` to below `below`; the last part includes 1."""

    at_least: float = Field(examples=[0.9])
    below: float = Field(examples=[0.95])
    answers: int = Field(examples=[37])


class _Counts(BaseModel):
    results: int = Field(description="Answers and failures.", examples=[2_620])
    accepted: int = Field(examples=[2_400])
    needs_review: int = Field(examples=[200])
    failed: int = Field(examples=[20])
    unanswered: int = Field(
        description="Pictures without a result, because no provider could be asked: providers were "
        "down or overloaded, or a budget was spent.",
        examples=[0],
    )
    accuracy: float | None = Field(
        description="Share of right answers, 0 to 1, among those whose true class is known, "
        "without reviews of unsure answers; null without any.",
        examples=[0.957],
    )
    interval: tuple[float, float] | None = Field(
        description="Where the true accuracy lies with 95 % confidence (Wilson).",
        examples=[[0.909, 0.981]],
    )
    labelled: int = Field(
        description="Number of answers that `accuracy` is based on.", examples=[140]
    )
    prompt_tokens: int = Field(examples=[561_000])
    completion_tokens: int = Field(examples=[13_100])

    @classmethod
    def of(cls, tally: Tally, **more: object) -> Self:
        labelled, right = tally.labelled, tally.right
        return cls.model_validate(
            {
                "results": tally.results,
                "accepted": tally.accepted,
                "needs_review": tally.needs_review,
                "failed": tally.failed,
                "unanswered": tally.unanswered,
                "accuracy": right / labelled if labelled else None,
                "interval": wilson(right, labelled),
                "labelled": labelled,
                "prompt_tokens": tally.prompt_tokens,
                "completion_tokens": tally.completion_tokens,
                **more,
            }
        )


class Point(_Counts):
    """A minute, hour, day or month (UTC)."""

    start: datetime = Field(examples=["2026-11-01T09:00:00Z"])
    total_ms: Percentiles | None = Field(description="Time from the request to its result.")

    @classmethod
    def at(cls, start: datetime, tally: Tally) -> Self:
        return cls.of(tally, start=start, total_ms=Percentiles.of(tally, "total"))


class Quality(_Counts):
    """Of a whole time."""

    cached: int = Field(
        description="Answers taken from an earlier or a concurrent request.", examples=[310]
    )
    per_minute: float = Field(description="Results per minute.", examples=[1.82])
    labels: dict[str, Labels] = Field(
        description="Labelled answers by the source of the label: the `request`, `later`, a "
        "`review` of an unsure answer, or a review of an accepted answer drawn at random "
        "(`random_review`)."
    )
    unseen_accuracy: Unseen | None = Field(
        description="Accuracy of accepted answers, from the labels of `random_review` alone; null "
        "without any."
    )
    confidence: list[ConfidencePart] = Field(description="Number of answers by how sure they were.")
    classes: dict[str, int] = Field(
        description='Answers by predicted class, the most frequent first; "" for none of the '
        "classes.",
        examples=[{"rose": 1_410, "daisy": 1_190}],
    )
    latency_ms: dict[str, Percentiles] = Field(
        description="Percentiles by stage: `fetch`, `prepare`, `wait`, `provider`, `total`."
    )
    errors: dict[str, int] = Field(
        description="Failed and unanswered pictures, by the last part of their problem's type.",
        examples=[{"provider-timeout": 20}],
    )

    @classmethod
    def over(cls, minutes: float, tally: Tally, **more: object) -> Self:
        right = tally.named("right")
        return cls.of(
            tally,
            **{
                "per_minute": tally.results / minutes,
                "cached": tally.cached,
                "labels": {
                    source: Labels(labelled=labelled, right=right.get(source, 0))
                    for source, labelled in tally.named("labelled").items()
                },
                "unseen_accuracy": Unseen.of(tally),
                "confidence": _confidence(tally),
                "classes": _most_first(tally.named("classes")),
                "latency_ms": {
                    stage: found for stage in STAGES if (found := Percentiles.of(tally, stage))
                },
                "errors": _most_first(tally.named("errors")),
                **more,
            },
        )


class Drift(BaseModel):
    """How far answers have moved from those of an earlier period: the population stability index,
    which is 0 for the same, below 0.1 little, above 0.25 much."""

    classes: float | None = Field(
        description=f"Drift of predicted classes; null below {ENOUGH} answers in either period, or "
        f"{ENOUGH_OF_EACH} for each class.",
        examples=[0.03],
    )
    confidence: float | None = Field(
        description="Drift of confidence, by the parts of `confidence`; null likewise.",
        examples=[0.05],
    )
    since: datetime = Field(description="Start of the baseline.", examples=["2026-10-04T00:00:00Z"])
    until: datetime = Field(examples=["2026-11-01T00:00:00Z"])
    answers: int = Field(description="Answers in the baseline.", examples=[48_100])

    @classmethod
    def between(cls, now: Tally, before: Tally, since: datetime, until: datetime) -> Self:
        return cls(
            classes=_apart(now, before, "classes"),
            confidence=_apart(now, before, "confidence"),
            since=since,
            until=until,
            answers=sum(before.named("classes").values()),
        )


class TotalQuality(Quality):
    series: list[Point] = Field(
        description="In order of time, without points in which nothing happened."
    )


class DomainQuality(Quality):
    domain: str = Field(examples=["flowers"])
    drift: Drift
    series: list[Point] | None = Field(
        description="Null if the series of domains with more results already have 2,000 points: "
        "request this `domain` alone."
    )


class QualityReport(BaseModel):
    """Quality and speed, up to the last stored result."""

    since: datetime = Field(examples=["2026-11-01T00:00:00Z"])
    until: datetime | None = Field(
        description="End of the period, exclusive; null: no end.", examples=[None]
    )
    by: TimeUnit = Field(description="Unit of time of the points in `series`.")
    total: TotalQuality = Field(description="All domains together.")
    domains: list[DomainQuality] = Field(
        description="By domain, the one with the most results first."
    )


def _confidence(tally: Tally) -> list[ConfidencePart]:
    counts = tally.named("confidence")
    return [
        ConfidencePart(at_least=edge, below=below, answers=counts.get(f"{edge:g}", 0))
        for edge, below in pairwise((*CONFIDENCE_EDGES, 1.0))
    ]


def _most_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def _apart(now: Tally, before: Tally, what: str) -> float | None:
    p, q = now.named(what), before.named(what)
    names = {**p, **q}
    if min(sum(p.values()), sum(q.values())) < max(ENOUGH, ENOUGH_OF_EACH * len(names)):
        return None
    return round(population_stability(p, q, names), 6)
