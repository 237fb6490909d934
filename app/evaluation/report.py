"""The report of an evaluation."""

from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True)


class Interval(_Told):
    """In which the true value lies with 95 % confidence."""

    low: float = Field(examples=[0.952])
    high: float = Field(examples=[0.985])


class ClassScore(_Told):
    """Among pictures of the classes; null where there is nothing to divide by."""

    n: int = Field(description="Pictures that show it.", examples=[103])
    precision: float | None = Field(description="Share of its answers that is right.")
    recall: float | None = Field(description="Share of its pictures that was found.")
    f1: float | None = Field(description="Harmonic mean of both; null without any picture of it.")


class ConfidenceBin(_Told):
    """Answers whose confidence is above `low` and at most `high`."""

    low: float = Field(examples=[0.8])
    high: float = Field(examples=[0.867])
    n: int = Field(examples=[61])
    confidence: float = Field(description="Mean.")
    accuracy: float = Field(description="Share that is right.")


class CurvePoint(_Told):
    """What happens when answers below `threshold` are left to people."""

    threshold: float = Field(examples=[0.7])
    coverage: float = Field(description="Share that is accepted.")
    risk: float = Field(description="Share of these that is wrong.")


class RiskCoverage(_Told):
    """How much can be accepted at which risk."""

    area: float = Field(
        description="Mean risk over all shares, the surest accepted first; 0 is best."
    )
    points: list[CurvePoint] = Field(description="By growing coverage, at most 100.")


class ThresholdScore(_Told):
    """What a threshold does here."""

    target: float | None = Field(
        description="The accuracy that is wanted of what is accepted; null: the domain's own "
        "threshold."
    )
    threshold: float | None = Field(
        description="In few digits, what accepts the most that reaches the target here; null: "
        "nothing does."
    )
    n: int = Field(description="Pictures that are accepted.")
    share: float = Field(description="Of all pictures of the classes.")
    accuracy: float | None = Field(description="Of what is accepted; null: nothing is.")
    interval: Interval


class Alone(_Told):
    """What stood by the verdict of that time: threshold, margin, quality and so on."""

    n: int = Field(examples=[61])
    share: float = Field(examples=[0.84])
    accuracy: float | None = Field(description="Null: nothing was accepted.")
    interval: Interval


class Strangers(_Told):
    """Pictures of none of the classes."""

    n: int = Field(examples=[61])
    above_threshold: int = Field(description="Answered with a class, at the threshold or above.")
    accepted: int = Field(description="Answered with a class, and accepted by the verdict.")
    none_of_these: int = Field(description='Answered with "none of these".')
    review_reasons: dict[str, int] = Field(description="Why the others were not accepted.")


class Calibrated(_Told):
    """Confidence before and after calibration, of the answers where both are known."""

    n: int = Field(examples=[61])
    ece_before: float = Field(examples=[0.09])
    ece_after: float = Field(examples=[0.02])


class Latency(_Told):
    """Milliseconds from request to answer, of answers that were asked for."""

    mean: float = Field(examples=[640.0])
    p50: float = Field(examples=[610.0])
    p95: float = Field(examples=[980.0])
    p99: float = Field(examples=[1450.0])


class TokensPer1000(_Told):
    prompt: float = Field(examples=[214000.0])
    completion: float = Field(examples=[5000.0])


class ProviderScore(_Told):
    """What one provider answered, earlier answers of it that were kept included."""

    provider: str = Field(examples=["local"])
    models: list[str] = Field(examples=[["efficientnet-lite0-int8"]])
    answers: int = Field(examples=[346])
    share: float = Field(description="Of all answers.", examples=[0.84])
    n: int = Field(description="Of these, about pictures of the classes.", examples=[340])
    accuracy: float | None = Field(description="Share of those that is right; null: none.")
    interval: Interval = Field(description="Of the accuracy (Wilson, 1927).")
    cost_per_1000: float | None = Field(
        description="US dollars for 1,000 that were asked for; null: not known.", examples=[0.0]
    )


class Instead(_Told):
    """Had the dearest of several providers answered all. How often it would have been right is
    known only of pictures that it was asked about, which in a cascade are the hard ones: compare
    with a run that asked it alone."""

    provider: str = Field(examples=["azure_openai"])
    calls_share: float = Field(
        description="Of the answers that were asked for, how many were its.", examples=[0.16]
    )
    cost_per_1000: float = Field(
        description="US dollars, as its answers cost here.", examples=[0.57]
    )
    saved_per_1000: float = Field(description="By who answered before it.", examples=[0.48])


class Mistake(_Told):
    """An answer that was wrong, however sure."""

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

    picture: str = Field(description="Its SHA-256, or else its name.")
    name: str = Field(description="In this run.")
    expected: str = Field(examples=["rose"])
    predicted: str | None = Field(description="In this run; null: no answer.")


class Comparison(_Told):
    """This run beside an earlier one, on the pictures that are in both."""

    earlier: str = Field(description="Which.")
    n: int = Field(description="Pictures in both.")
    accuracy: float | None = Field(description="Of this run, on these; null: there are none.")
    earlier_accuracy: float | None
    difference: float | None = Field(description="How much better this run is.")
    interval: Interval | None = Field(description="Of the difference (Agresti and Min, 2005).")
    better: int = Field(description="Pictures that only this run got right.")
    worse: int = Field(description="Pictures that only the earlier one got right.")
    p_value: float | None = Field(
        description="How often chance alone would make such a difference or a larger one between "
        "equally good runs: McNemar's exact test."
    )
    only_now_right: list[Difference] = Field(description="The first 50.")
    only_earlier_right: list[Difference] = Field(description="The first 50.")


class MeasuredOn(_Told):
    """What the figures are about."""

    what: str = Field(description="A folder, a batch, or stored results.")
    domain: str = Field(examples=["flowers"])
    at: datetime | None = Field(description="When it was reckoned.")
    first_at: datetime | None = Field(description="When the first answer was asked for.")
    last_at: datetime | None
    results: int = Field(examples=[412])
    pictures: int = Field(description="Different ones among them.")
    cached: int = Field(description="Answers of earlier requests; nothing was paid for them.")
    truncated: bool = Field(description="There are more; these are the newest.")
    providers: list[str]
    models: list[str]
    confidence_sources: list[str]
    domain_versions: list[str]
    calibrations: list[str]


class Report(_Told):
    """How good the answers are. Accuracy, confidence and thresholds are about pictures of the
    classes: how many of none of them there are is up to whoever chose the pictures."""

    measured_on: MeasuredOn
    n: int = Field(description="Pictures of the classes.")
    accuracy: float = Field(description="Share that was answered right; a failed one is wrong.")
    interval: Interval = Field(description="Of the accuracy (Wilson, 1927).")
    macro_f1: float | None = Field(
        description="Mean over the classes that have pictures; null: none has."
    )
    per_class: dict[str, ClassScore] = Field(description="By label.")
    confusion: dict[str, dict[str, int]] = Field(
        description="How often each truth got each answer, pictures without any left out."
    )
    unanswered: dict[str, int] = Field(description="Pictures without an answer, by truth.")
    threshold: float = Field(description="Of the domain.")
    accepted_share: float = Field(description="Share whose confidence reached the threshold.")
    accepted_accuracy: float | None = Field(description="Of these; null: there are none.")
    alone: Alone
    none_n: int = Field(description="Pictures of none of the classes.")
    none_accepted: int = Field(
        description="How many of them were answered with a class, at the threshold or above."
    )
    none: Strangers
    failed: int = Field(description="Pictures without an answer.")
    ece: float | None = Field(
        description="Expected calibration error: how far confidence and accuracy are apart, in 15 "
        "bins of equal width; null: there is no answer."
    )
    calibrated: Calibrated | None
    brier: float | None = Field(
        description="Mean squared error of the probabilities, 0 to 2, `none` being a class; null: "
        "they are not known."
    )
    reliability: list[ConfidenceBin] = Field(description="Bins that hold answers.")
    risk_coverage: RiskCoverage
    thresholds: list[ThresholdScore]
    asked: int = Field(description="Answers that were asked for: those of all pictures, uncached.")
    cost_per_1000: float | None = Field(
        description="US dollars for 1,000 that were asked for; null: not known."
    )
    tokens_per_1000: TokensPer1000 | None
    latency_ms: Latency | None
    seconds_per_image: float = Field(description="Mean over all, cached ones too.")
    review_reasons: dict[str, int] = Field(
        description="Why people are asked to look, and how often."
    )
    mistakes: list[Mistake] = Field(
        description="The surest wrong answers, each picture once, at most 12."
    )
    near_misses: list[Mistake] = Field(
        description="The surest answers about pictures of none of the classes, at most 6."
    )
    by_provider: list[ProviderScore] = Field([], description="Whoever answered most first.")
    instead: Instead | None = Field(
        None, description="Null where one provider answered all, or nothing was paid."
    )
    comparison: Comparison | None = None


Outcomes = Mapping[str, bool]
"""Whether each picture, by its SHA-256 or else its name, was answered correctly."""
