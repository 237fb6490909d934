"""`prediction_set`: classes that include the true one as often as a caller wants."""

from typing import Annotated

from fastapi import Query
from pydantic import Field

from app.calibration import Calibrations
from app.result import Result

Coverage = Annotated[
    float | None,
    Query(
        ge=0.5,
        le=0.999,
        description="Share of pictures whose `prediction_set` should contain the true class.",
        examples=[0.95],
    ),
]


class ResultWithSet(Result):
    """A result, and its prediction set if one was requested."""

    prediction_set: list[str] | None = Field(
        None,
        exclude_if=lambda found: found is None,
        description="The classes, and `none` for none of them, that contain the true one for a "
        "share `coverage` of pictures, the most probable first; may be empty. Absent if no "
        "`coverage` was requested, if there is no answer, and if `calibration` is null: nothing "
        "can be guaranteed without labels.",
        examples=[["rose"]],
    )


async def with_set(
    result: Result, coverage: float | None, calibrations: Calibrations
) -> ResultWithSet:
    """Raises StorageUnavailable."""
    found: list[str] | None = None
    said = result.raw_probabilities
    if coverage is not None and result.calibration is not None and said is not None:
        calibration = await calibrations.find(result.calibration)
        if calibration is not None:
            found = calibration.prediction_set(said, coverage)
    # Not validated again: it is a result already.
    return ResultWithSet.model_construct(**result.__dict__, prediction_set=found)
