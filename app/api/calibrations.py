"""`/domains/{name}/calibrations`, `/domains/{name}/threshold`: what labels say about confidence."""

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from app.api.dependencies import Caller, Joined, Operator
from app.api.domains import DomainName, NameOfDomain
from app.api.raising import Raises
from app.calibration import Calibration, NotFitted, Threshold, Thresholds, Version
from app.classification import check_label
from app.errors import CalibrationNotFound, CalibrationRefused, LabelNotInDomain, TooFewLabels
from app.identifiers import CALIBRATION_PATTERN

router = APIRouter(prefix="/domains/{name}", tags=["domains"])

CalibrationId = Annotated[
    str,
    Path(pattern=CALIBRATION_PATTERN, examples=["fit_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"]),
    Raises(CalibrationNotFound),
]
AnAccuracy = Annotated[
    float,
    Query(
        gt=0,
        le=0.999,
        description="Share of accepted answers that should be right.",
        examples=[0.97],
    ),
]


class Answerer(BaseModel):
    """Whose answers, and how they were sure."""

    domain: str = Field(examples=["flowers"])
    domain_version: str = Field(examples=["0f3b1c2d4e5f"])
    provider: str = Field(examples=["azure_openai"])
    model: str = Field(examples=["gpt-4o-2024-11-20"])
    confidence_source: str = Field(examples=["logprobs"])
    revision: str = Field(description="`revision` of the results.", examples=["2"])


class CalibrationView(Answerer):
    """A calibration: a correction that makes the confidence of these answers the probability of
    being right."""

    id: str = Field(examples=["fit_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])
    method: Literal["temperature", "isotonic"]
    labels: int = Field(description="Distinct pictures that it was fitted on.", examples=[412])
    ece_before: float = Field(
        description="Expected calibration error of the provider's own confidence, 0 to 1.",
        examples=[0.143],
    )
    ece_after: float = Field(
        description="The same after calibration, each answer judged by a fit that had not seen it.",
        examples=[0.031],
    )
    state: Literal["in_force", "not_in_force", "withdrawn"] = Field(
        description="`in_force`: answers are calibrated with it; it is the newest for the domain "
        "as it is now that was not withdrawn."
    )
    created_at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])

    @classmethod
    def of(cls, version: Version) -> Self:
        row = version.row
        kept = "not_in_force" if row.withdrawn_at is None else "withdrawn"
        return cls(
            **row.key._asdict(),
            **{name: getattr(row, name) for name in _SAME},
            state="in_force" if version.in_force else kept,
        )

    @classmethod
    def of_new(cls, fitted: Calibration) -> Self:
        values = {name: getattr(fitted, name) for name in _SAME}
        return cls(**fitted.key._asdict(), **values, state="in_force")


_SAME = ("id", "method", "labels", "ece_before", "ece_after", "created_at")


class CalibrationList(BaseModel):
    calibrations: list[CalibrationView]


class FitRequest(BaseModel):
    """Which answers to calibrate; unset fields match all."""

    model_config = ConfigDict(extra="forbid")
    provider: str | None = Field(None, examples=["azure_openai"])
    model: str | None = Field(None, examples=["gpt-4o-2024-11-20"])


class NotCalibrated(Answerer):
    """Answers that have labels, but got no new calibration."""

    reason: str = Field(examples=["too-few-labels"])
    detail: str = Field(description="Explanation for people.")

    @classmethod
    def of(cls, each: NotFitted) -> Self:
        return cls(**each.key._asdict(), reason=each.reason.slug(), detail=str(each.reason))


class FitReport(CalibrationList):
    """The new calibrations, and why other answers got none."""

    not_calibrated: list[NotCalibrated]


@router.get("/calibrations")
async def list_calibrations(name: DomainName, parts: Joined, caller: Caller) -> CalibrationList:
    """List all calibrations, the newest first."""
    found = await parts.calibrations.versions(name)
    return CalibrationList(calibrations=[CalibrationView.of(each) for each in found])


@router.post("/calibrations", status_code=201)
@Raises(CalibrationRefused, TooFewLabels)
async def calibrate(
    name: DomainName, parts: Joined, operator: Operator, wanted: FitRequest | None = None
) -> FitReport:
    """Fit new calibrations to the labels that exist now. They are in force at once, in other
    processes within seconds."""
    wanted = wanted or FitRequest()
    fitted, not_fitted = await parts.calibrations.fit(
        name, provider=wanted.provider, model=wanted.model
    )
    return FitReport(
        calibrations=[CalibrationView.of_new(each) for each in fitted],
        not_calibrated=[NotCalibrated.of(each) for each in not_fitted],
    )


@router.delete("/calibrations/{calibration_id}", status_code=204)
async def withdraw_calibration(
    name: NameOfDomain, calibration_id: CalibrationId, parts: Joined, operator: Operator
) -> None:
    """Withdraw a calibration: the one before it, if any, is in force again. Results keep what it
    made of them, and no new one is fitted automatically before there are 20 % more labels."""
    await parts.calibrations.withdraw(name, calibration_id, by=operator.by)


class ThresholdView(BaseModel):
    """The confidence from which on answers are right often enough."""

    threshold: float | None = Field(
        description="Value for the domain's `confidence_threshold`; null: `reason` says why.",
        examples=[0.913],
    )
    reason: Literal["too_few_labels", "unreachable"] | None = Field(
        description="`unreachable`: at no confidence are answers right that often, as far as these "
        "labels tell.",
        examples=[None],
    )
    share_accepted: float = Field(
        description="Share of answers at or above the threshold, of all those that the labelled "
        "ones stand for; those that say none of the classes never are.",
        examples=[0.81],
    )
    accuracy_reached: float | None = Field(
        description="Accuracy of the answers at or above the threshold.", examples=[0.976]
    )
    interval: tuple[float, float] | None = Field(
        description="Where the true accuracy lies with 95 % confidence (Wilson).",
        examples=[(0.951, 0.988)],
    )
    accepted: int = Field(examples=[334])
    labels: int = Field(description="Distinct labelled pictures.", examples=[412])

    @classmethod
    def of(cls, found: Threshold) -> Self:
        return cls(
            threshold=found.threshold,
            reason=found.reason,
            share_accepted=found.share_accepted,
            accuracy_reached=found.accuracy,
            interval=found.interval,
            accepted=found.accepted,
            labels=found.labels,
        )


class ThresholdReport(Answerer, ThresholdView):
    calibration: str | None = Field(
        description="Calibration that was applied to these answers; null: none.",
        examples=["fit_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"],
    )
    accuracy: float = Field(description="The requested accuracy.", examples=[0.97])
    label: str | None = Field(description="Only answers of this class; null: all.", examples=[None])
    per_label: dict[str, ThresholdView] | None = Field(
        description="The same for the answers of each class; null unless requested."
    )


@router.get("/threshold")
@Raises(LabelNotInDomain, TooFewLabels)
async def threshold(
    name: DomainName,
    parts: Joined,
    caller: Caller,
    accuracy: AnAccuracy,
    label: Annotated[
        str | None, Query(description="Only answers of this predicted class.", examples=["rose"])
    ] = None,
    per_label: Annotated[bool, Query(description="Also per class.")] = False,
    provider: Annotated[
        str | None,
        Query(description="Unset: the provider with the most labels.", examples=["local"]),
    ] = None,
) -> ThresholdReport:
    """Find the lowest confidence from which on answers are right as often as you want, from the
    labels that you may see, with the calibration in force applied."""
    check_label(label, await parts.domains.find(name))
    found = await parts.thresholds.find(
        name, accuracy, provider=provider, label=label, per_label=per_label, caller=caller.sees
    )
    return report(found, accuracy, label, per_label=per_label)


def report(
    found: Thresholds, accuracy: float, label: str | None, *, per_label: bool
) -> ThresholdReport:
    apart = {name: ThresholdView.of(each) for name, each in found.per_label.items()}
    return ThresholdReport(
        **found.key._asdict(),
        **dict(ThresholdView.of(found.all)),
        calibration=found.calibration,
        accuracy=accuracy,
        label=label,
        per_label=apart if per_label else None,
    )
