"""The report of an evaluation."""

from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True)


class Interval(_Told):
    """Where the true value lies with 95 % confidence."""

    low: float = Field(examples=[0.952])
    high: float = Field(examples=[0.985])


class ClassScore(_Told):
    """Scores of a class among pictures of the classes; null where there is nothing to divide by."""

    n: int = Field(description="Pictures of this class.", examples=[103])
    precision: float | None = Field(
        description="Share of the answers of this class that are right."
    )
    recall: float | None = Field(
        description="Share of the pictures of this class that were recognised."
    )
    f1: float | None = Field(
        description="Harmonic mean of precision and recall; null without any picture of this class."
    )


class ConfidenceBin(_Told):
    """Answers whose confidence is above `low` and at most `high`."""

    low: float = Field(examples=[0.8])
    high: float = Field(examples=[0.867])
    n: int = Field(examples=[61])
    confidence: float = Field(description="Mean confidence.")
    accuracy: float = Field(description="Share of right answers.")


class CurvePoint(_Told):
    """What happens if answers below `threshold` are left to people."""

    threshold: float = Field(examples=[0.7])
    coverage: float = Field(description="Share of pictures whose answers are accepted.")
    risk: float = Field(description="Share of the accepted answers that are wrong.")


class RiskCoverage(_Told):
    """How many answers can be accepted at which risk."""

    area: float = Field(
        description="Mean risk over all coverages, the surest answers accepted first; 0 is best."
    )
    points: list[CurvePoint] = Field(description="By increasing coverage, at most 100.")


class ThresholdScore(_Told):
    """What a threshold achieves on these pictures."""

    target: float | None = Field(
        description="The accuracy that accepted answers should have; null: this is the domain's "
        "own threshold."
    )
    threshold: float | None = Field(
        description="Threshold, in few digits, that accepts the most and reaches the target here; "
        "null: none does."
    )
    n: int = Field(description="Pictures whose answers are accepted.")
    share: float = Field(description="Share of all pictures of the classes.")
    accuracy: float | None = Field(
        description="Accuracy of accepted answers; null: none is accepted."
    )
    interval: Interval


class Alone(_Told):
    """Answers that were accepted at that time: by threshold, margin, quality and so on."""

    n: int = Field(examples=[61])
    share: float = Field(examples=[0.84])
    accuracy: float | None = Field(description="Null: none was accepted.")
    interval: Interval


class Strangers(_Told):
    """Pictures of none of the classes."""

    n: int = Field(examples=[61])
    above_threshold: int = Field(description="Answered with a class, at or above the threshold.")
    accepted: int = Field(description="Answered with a class, and accepted at that time.")
    none_of_these: int = Field(description='Answered with "none of these".')
    review_reasons: dict[str, int] = Field(
        description="Why the others were not accepted, and how often."
    )


class Calibrated(_Told):
    """Confidence before and after calibration, for answers where both are known."""

    n: int = Field(examples=[61])
    ece_before: float = Field(examples=[0.09])
    ece_after: float = Field(examples=[0.02])


class Latency(_Told):
    """Milliseconds from request to answer, for answers that did not come from the cache."""

    mean: float = Field(examples=[640.0])
    p50: float = Field(examples=[610.0])
    p95: float = Field(examples=[980.0])
    p99: float = Field(examples=[1450.0])


class TokensPer1000(_Told):
    prompt: float = Field(examples=[214000.0])
    completion: float = Field(examples=[5000.0])


class ProviderScore(_Told):
    """The answers of one provider, including its earlier answers from the cache."""

    provider: str = Field(examples=["local"])
    models: list[str] = Field(examples=[["efficientnet-lite0-int8"]])
    answers: int = Field(examples=[346])
    share: float = Field(description="Share of all answers.", examples=[0.84])
    n: int = Field(
        description="Of these answers, those about pictures of the classes.", examples=[340]
    )
    accuracy: float | None = Field(
        description="Share of those that are right; null: there are none."
    )
    interval: Interval = Field(description="Interval of the accuracy (Wilson, 1927).")
    cost_per_1000: float | None = Field(
        description="US dollars per 1,000 answers that did not come from the cache; null: not "
        "known.",
        examples=[0.0],
    )


class Instead(_Told):
    """What it would cost if the most expensive of several providers answered all pictures. How
    often it would be right is known only for pictures that it was asked about, which in a cascade
    are the hard ones: compare with a run that asked it alone."""

    provider: str = Field(examples=["azure_openai"])
    calls_share: float = Field(
        description="Its share of the answers that did not come from the cache.", examples=[0.16]
    )
    cost_per_1000: float = Field(
        description="US dollars per 1,000 answers, at what its answers cost here.", examples=[0.57]
    )
    saved_per_1000: float = Field(
        description="US dollars per 1,000 answers that the providers before it saved.",
        examples=[0.48],
    )


class Mistake(_Told):
    """A wrong answer, however sure."""

    name: str = Field(examples=["labelled/rose/17.jpg"])
    expected: str = Field(examples=["rose"])
    predicted: str = Field(examples=["sunflower"])
    confidence: float = Field(examples=[0.841])
    status: str | None
    review_reasons: list[str]
    sha256: str | None
    result_id: str | None

    @property
    def key(self) -> str:
        """Identifies its picture: names of items are not unique across batches."""
        return self.sha256 or self.result_id or self.name


class Difference(_Told):
    """A picture that one run got right and the other wrong."""

    picture: str = Field(description="SHA-256 of the picture, or else its name.")
    name: str = Field(description="Name of the picture in this run.")
    expected: str = Field(examples=["rose"])
    predicted: str | None = Field(description="Answer in this run; null: none.")


class Comparison(_Told):
    """This run compared with an earlier one, on the pictures that are in both."""

    earlier: str = Field(description="Name of the earlier run.")
    n: int = Field(description="Pictures in both runs.")
    accuracy: float | None = Field(
        description="Accuracy of this run on these pictures; null: there are none."
    )
    earlier_accuracy: float | None
    difference: float | None = Field(
        description="How much more accurate this run is than the earlier one."
    )
    interval: Interval | None = Field(
        description="Interval of the difference (Agresti and Min, 2005)."
    )
    better: int = Field(description="Pictures that only this run got right.")
    worse: int = Field(description="Pictures that only the earlier run got right.")
    p_value: float | None = Field(
        description="Probability that chance alone makes such a difference, or a larger one, "
        "between equally good runs: McNemar's exact test."
    )
    only_now_right: list[Difference] = Field(description="The first 50 of `better`.")
    only_earlier_right: list[Difference] = Field(description="The first 50 of `worse`.")


class MeasuredOn(_Told):
    """What the figures are based on."""

    what: str = Field(description="A folder, a batch, or stored results.")
    domain: str = Field(examples=["flowers"])
    at: datetime | None = Field(description="When the report was computed.")
    first_at: datetime | None = Field(description="When the first answer was requested.")
    last_at: datetime | None
    results: int = Field(examples=[412])
    pictures: int = Field(description="Distinct pictures among the results.")
    cached: int = Field(description="Answers of earlier requests, which cost nothing.")
    truncated: bool = Field(description="True: there are more results; these are the newest.")
    providers: list[str]
    models: list[str]
    confidence_sources: list[str]
    domain_versions: list[str]
    calibrations: list[str]


class Report(_Told):
    """How good the answers are. Accuracy, confidence and thresholds are about pictures of the
    classes: how many pictures of none of them there are depends on whoever chose the pictures."""

    measured_on: MeasuredOn
    n: int = Field(description="Pictures of the domain's classes.")
    accuracy: float = Field(description="Share of right answers; failed pictures count as wrong.")
    interval: Interval = Field(description="Interval of the accuracy (Wilson, 1927).")
    macro_f1: float | None = Field(
        description="Mean F1 over the classes that have pictures; null: none has."
    )
    per_class: dict[str, ClassScore] = Field(description="Scores by label.")
    confusion: dict[str, dict[str, int]] = Field(
        description="How often each true class got each answer, without pictures that have none."
    )
    unanswered: dict[str, int] = Field(description="Pictures without an answer, by true class.")
    threshold: float = Field(description="The domain's threshold.")
    accepted_share: float = Field(
        description="Share of pictures of the classes whose confidence reached the threshold."
    )
    accepted_accuracy: float | None = Field(description="Accuracy of these; null: there are none.")
    alone: Alone
    none_n: int = Field(description="Pictures of none of the classes.")
    none_accepted: int = Field(
        description="How many of them were answered with a class, at or above the threshold."
    )
    none: Strangers
    failed: int = Field(description="Pictures without an answer.")
    ece: float | None = Field(
        description="Expected calibration error: how far confidence and accuracy are apart, in 15 "
        "bins of equal width; null: there are no answers."
    )
    calibrated: Calibrated | None
    brier: float | None = Field(
        description="Mean squared error of the probabilities, 0 to 2, with `none` as a class; "
        "null: they are not known."
    )
    reliability: list[ConfidenceBin] = Field(description="Bins that contain answers.")
    risk_coverage: RiskCoverage
    thresholds: list[ThresholdScore]
    asked: int = Field(
        description="Answers that did not come from the cache, whatever the pictures show."
    )
    cost_per_1000: float | None = Field(
        description="US dollars per 1,000 answers that did not come from the cache; null: not "
        "known."
    )
    tokens_per_1000: TokensPer1000 | None
    latency_ms: Latency | None
    seconds_per_image: float = Field(
        description="Mean over all answers, including those from the cache."
    )
    review_reasons: dict[str, int] = Field(description="Why answers need review, and how often.")
    mistakes: list[Mistake] = Field(
        description="The surest wrong answers, each picture once, at most 12."
    )
    near_misses: list[Mistake] = Field(
        description="The surest answers about pictures of none of the classes, at most 6."
    )
    by_provider: list[ProviderScore] = Field(
        [], description="Providers, the one with the most answers first."
    )
    instead: Instead | None = Field(
        None,
        description="Null if one provider answered all pictures, nothing was paid, or a price is "
        "not known.",
    )
    comparison: Comparison | None = None


Outcomes = Mapping[str, bool]
"""Whether each picture, by its SHA-256 or else its name, was answered correctly."""
