"""`/domains/{name}/lessons`: what the local model was taught."""

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from app.api.dependencies import Caller, Joined, Operator
from app.api.domains import DomainName, NameOfDomain
from app.api.raising import Raises
from app.domains import ACCURACY
from app.errors import ImageHarmful, LessonNotFound, Overloaded, TooFewExamples
from app.identifiers import LESSON_PATTERN
from app.teaching import LessonReport, Version

router = APIRouter(prefix="/domains/{name}/lessons", tags=["teaching"])

LessonId = Annotated[
    str,
    Path(pattern=LESSON_PATTERN, examples=["les_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"]),
    Raises(LessonNotFound),
]


class LessonView(BaseModel):
    """A version of what the local model was taught for the domain, and how good it is."""

    id: str = Field(
        description="Also the `revision` of its answers.",
        examples=["les_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"],
    )
    cause: Literal["taught", "reviews"] = Field(
        description="`taught`: somebody requested it; `reviews`: new reviews caused it."
    )
    state: Literal["in_force", "not_in_force", "withdrawn", "refused"] = Field(
        description="`in_force`: the newest that was not withdrawn. `refused`: with the new "
        "examples answers became worse; these were set aside."
    )
    reason: str | None = Field(description="Why it was refused.", examples=[None])
    examples: int = Field(description="Number of examples that it was taught with.", examples=[44])
    report: LessonReport | None = Field(description="Null for a refused lesson.")
    created_at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])

    @classmethod
    def of(cls, version: Version) -> Self:
        row = version.row
        return cls(
            id=row.id,
            cause=row.cause,
            state=_state(version),
            reason=row.reason,
            examples=row.examples,
            report=version.report,
            created_at=row.created_at,
        )


def _state(version: Version) -> Literal["in_force", "not_in_force", "withdrawn", "refused"]:
    if version.row.reason is not None:
        return "refused"
    if version.row.withdrawn_at is not None:
        return "withdrawn"
    return "in_force" if version.in_force else "not_in_force"


class LessonList(BaseModel):
    lessons: list[LessonView]


class LessonRequest(BaseModel):
    """Options for teaching."""

    model_config = ConfigDict(extra="forbid")
    accuracy: float = Field(
        ACCURACY,
        gt=0,
        le=0.999,
        description="Share of accepted answers that should be right, for the threshold.",
    )
    set_aside: Literal["leave", "take", "forget"] = Field(
        "leave",
        description="What to do with the examples from reviews that were set aside: `take` them if "
        "they are right, `forget` them if they are not.",
    )


@router.get("")
async def list_lessons(name: DomainName, parts: Joined, caller: Caller) -> LessonList:
    """List all lessons, the newest first."""
    found = await parts.lessons.versions(name)
    return LessonList(lessons=[LessonView.of(each) for each in found])


@router.post("", status_code=201)
@Raises(ImageHarmful, Overloaded, TooFewExamples)
async def teach(
    name: DomainName, parts: Joined, operator: Operator, wanted: LessonRequest | None = None
) -> LessonView:
    """Teach the local model with the newest examples of each label, which takes seconds. The lesson
    answers at once, in other processes within seconds."""
    wanted = wanted or LessonRequest()
    lesson_id, _ = await parts.lessons.teach(
        name, accuracy=wanted.accuracy, set_aside=wanted.set_aside, by=operator.by
    )
    found = await parts.lessons.versions(name)
    return LessonView.of(next(each for each in found if each.row.id == lesson_id))


@router.delete("/{lesson_id}", status_code=204)
async def withdraw_lesson(
    name: NameOfDomain, lesson_id: LessonId, parts: Joined, operator: Operator
) -> None:
    """Withdraw a lesson: the one before it, or what came with the service, is in force again. Its
    examples stay."""
    await parts.lessons.withdraw(name, lesson_id, by=operator.by)
