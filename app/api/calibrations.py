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
        description="Share of accepted answers that are to be right.",
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
    revision: str = Field(description="As in a result.", examples=["2"])


class CalibrationView(Answerer):
    """A version of what makes these answers' confidence mean what it says."""

    id: str = Field(examples=["fit_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])
    method: Literal["temperature", "isotonic"]
    labels: int = Field(description="Different pictures that it was fitted on.", examples=[412])
    ece_before: float = Field(
        description="Expected calibration error of what the provider said, 0 to 1.",
        examples=[0.143],
    )
    ece_after: float = Field(
        description="The same after calibration, each answer by a fit that had not seen it.",
        examples=[0.031],
    )
    state: Literal["in_force", "not_in_force", "withdrawn"] = Field(
        description="Answers are calibrated by what is in force: of the domain as it is now, the "
        "newest that was not withdrawn."
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
    """Whose answers; what is not given is not asked."""

    model_config = ConfigDict(extra="forbid")
    provider: str | None = Field(None, examples=["azure_openai"])
    model: str | None = Field(None, examples=["gpt-4o-2024-11-20"])


class NotCalibrated(Answerer):
    """Answers that have labels, and got no new version."""

    reason: str = Field(examples=["too-few-labels"])
    detail: str = Field(description="For people.")

    @classmethod
    def of(cls, each: NotFitted) -> Self:
        return cls(**each.key._asdict(), reason=each.reason.slug(), detail=str(each.reason))


class FitReport(CalibrationList):
    """The new versions, and why there is none for others."""

    not_calibrated: list[NotCalibrated]


@router.get("/calibrations")
async def list_calibrations(name: DomainName, parts: Joined, caller: Caller) -> CalibrationList:
    """All versions, the newest first."""
    found = await parts.calibrations.versions(name)
    return CalibrationList(calibrations=[CalibrationView.of(each) for each in found])


@router.post("/calibrations", status_code=201)
@Raises(CalibrationRefused, TooFewLabels)
async def calibrate(
    name: DomainName, parts: Joined, operator: Operator, wanted: FitRequest | None = None
) -> FitReport:
    """Fit new versions to the labels that there are now. They are in force at once, and in other
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
    """Withdraw a version: the one before it is in force again, or none. Results keep what it made
    of them, and there is no new one by itself before there are 20 % more labels."""
    await parts.calibrations.withdraw(name, calibration_id, by=operator.by)


class ThresholdView(BaseModel):
    """From which confidence on answers are right often enough."""

    threshold: float | None = Field(
        description="For `confidence_threshold`; null: `reason` says why.", examples=[0.913]
    )
    reason: Literal["too_few_labels", "unreachable"] | None = Field(
        description="`unreachable`: from no confidence on they are right so often, as far as these "
        "labels tell.",
        examples=[None],
    )
    share_accepted: float = Field(
        description="Of all answers that the labelled ones stand for; those that say none of the "
        "classes never are.",
        examples=[0.81],
    )
    accuracy_reached: float | None = Field(description="Of those.", examples=[0.976])
    interval: tuple[float, float] | None = Field(
        description="In which the accuracy lies with 95 % confidence (Wilson).",
        examples=[(0.951, 0.988)],
    )
    accepted: int = Field(examples=[334])
    labels: int = Field(description="Different pictures.", examples=[412])

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
        description="By which these answers were calibrated; null: by none.",
        examples=["fit_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"],
    )
    accuracy: float = Field(description="As asked for.", examples=[0.97])
    label: str | None = Field(description="Answers that say so only; null: all.", examples=[None])
    per_label: dict[str, ThresholdView] | None = Field(
        description="Of the answers that say each class; null where it was not asked for."
    )


@router.get("/threshold")
@Raises(LabelNotInDomain, TooFewLabels)
async def threshold(
    name: DomainName,
    parts: Joined,
    caller: Caller,
    accuracy: AnAccuracy,
    label: Annotated[
        str | None, Query(description="Only answers that say this class.", examples=["rose"])
    ] = None,
    per_label: Annotated[bool, Query(description="Of each class apart, too.")] = False,
    provider: Annotated[
        str | None, Query(description="Unset: whoever has the most labels.", examples=["local"])
    ] = None,
) -> ThresholdReport:
    """The lowest confidence from which on answers are right as often as you want, from the labels
    that you see, with the calibration in force applied."""
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
