"""Results in the database. All SQL about them is here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from sqlalchemy.dialects.postgresql import insert  # what SQLite speaks, too

from app.errors import ClassifierError, ResultNotFound
from app.identifiers import RESULT, lowest_id
from app.image_quality import Quality
from app.storage import similar
from app.storage.database import Database, Unit
from app.storage.tables import accepted, results

Status = Literal["pending", "accepted", "needs_review", "failed"]
UsdAmount = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]


class ImageFacts(BaseModel):
    """The picture as it arrived."""

    sha256: str = Field(
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    )
    format: str = Field(examples=["JPEG"])
    width: int = Field(description="Pixels, upright.", examples=[640])
    height: int = Field(description="Pixels, upright.", examples=[427])
    bytes: int = Field(examples=[91_234])
    phash: str | None = Field(
        None,
        description="Perceptual hash, 64 bits in hex; null for a picture of nearly one colour.",
        examples=["c3d1f0e0b4a49686"],
    )
    prepared_width: int | None = Field(None, description="As a provider gets it.", examples=[512])
    prepared_height: int | None = Field(None, description="As a provider gets it.", examples=[342])
    tokens: int | None = Field(
        None,
        description="Tokens that it took of the prompt; null where none are counted, 0 when the "
        "answer was `cached`.",
        examples=[85],
    )
    tokens_estimated: bool = Field(
        default=False, description="The model's formula is not published: `tokens` is learned."
    )
    quality: Quality | None = None
    warnings: list[str] = Field(
        examples=[[]], description="What was odd about it, and in what it is no good picture."
    )


class Usage(BaseModel):
    """What the answer cost, all attempts together."""

    prompt_tokens: int = Field(examples=[214])
    completion_tokens: int = Field(examples=[5])
    cost_usd: UsdAmount | None = Field(
        description="US dollars; null when the price is not known.", examples=[0.000585]
    )


class Timings(BaseModel):
    """Milliseconds spent."""

    fetch: float = Field(0, description="Downloading the URL.", examples=[0.0])
    prepare: float = Field(0, description="Decoding, turning, resizing.", examples=[4.1])
    wait: float = Field(0, description="For the limiter, and between attempts.", examples=[0.0])
    provider: float = Field(0, description="In calls to the provider.", examples=[5.2])
    total: float = Field(0, examples=[10.6])


class Failure(BaseModel):
    """Why there is no answer; the same words as in the problem that the caller got."""

    type: str = Field(examples=["/problems/provider-timeout"])
    detail: str = Field(examples=["No answer within 30 s."])

    @classmethod
    def of(cls, error: ClassifierError) -> Self:
        return cls(type=f"/problems/{error.slug()}", detail=str(error))


class Result(BaseModel):
    """One classified picture."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(examples=["cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])
    domain: str = Field(examples=["flowers"])
    predicted_class: str | None = Field(
        None,
        description='Null while pending, when failed, and for "none of these".',
        examples=["rose"],
    )
    confidence: float | None = Field(
        None, description="Probability of the predicted class, 0 to 1.", examples=[0.97]
    )
    probabilities: dict[str, float] | None = Field(
        None, examples=[{"dandelion": 0.01, "rose": 0.97, "sunflower": 0.01, "daisy": 0.01}]
    )
    status: Status = Field(examples=["accepted"])
    review_reasons: list[str] = Field(
        default=[],
        description="Why a person should look: `below_threshold`, `none_of_the_classes`, "
        "`image_quality`.",
        examples=[[]],
    )
    confidence_source: str | None = Field(
        None,
        description="`logprobs`, `votes`, `stated` or `local`.",
        examples=["local"],
    )
    provider: str | None = Field(None, examples=["local"])
    model: str | None = Field(None, examples=["efficientnet-lite0-int8"])
    deployment: str | None = Field(None, examples=[None])
    cached: bool = Field(
        default=False,
        description="The answer to an earlier request, or to one at the same time, about the same "
        "picture; nothing was paid for it.",
    )
    degraded: bool = Field(
        default=False,
        description="The answer of a provider further down the domain's list: those before it were "
        "down.",
    )
    image: ImageFacts | None = None
    similar_to: str | None = Field(
        None,
        description="An earlier result of the same caller whose picture looks nearly the same.",
        examples=["cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"],
    )
    usage: Usage | None = None
    timings_ms: Timings | None = None
    error: Failure | None = Field(None, description="Set when `status` is failed.")
    expected: str | None = Field(None, description="The true class, as told.", examples=["rose"])
    metadata: dict[str, Any] | None = Field(
        None, description="What the request carried.", examples=[{"order": "A-17"}]
    )
    caller: str = Field(description="Name of the API key.", examples=["anonymous"])
    domain_version: str = Field(
        description="Changes when the domain's classes or prompt change.", examples=["0f3b1c2d4e5f"]
    )
    provider_request_id: str | None = Field(
        None, description="The provider's own id of the call, for its support.", examples=[None]
    )
    created_at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])
    completed_at: datetime | None = Field(None, examples=["2026-01-02T03:04:05.689Z"])

    @property
    def is_pending(self) -> bool:
        return self.status == "pending"


@dataclass(frozen=True, slots=True)
class ResultFilter:
    """Which results; None means all. `since` is included, `until` is not."""

    domain: str | None = None
    predicted_class: str | None = None
    status: Status | None = None
    provider: str | None = None
    caller: str | None = None
    min_confidence: float | None = None
    max_confidence: float | None = None
    since: datetime | None = None
    until: datetime | None = None
    similar_to: str | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        column = results.c
        equal = ("domain", "predicted_class", "status", "provider", "caller")
        conditions = [
            column[name] == value for name in equal if (value := getattr(self, name)) is not None
        ]
        if self.min_confidence is not None:
            conditions.append(column.confidence >= self.min_confidence)
        if self.max_confidence is not None:
            conditions.append(column.confidence <= self.max_confidence)
        if self.since is not None:
            conditions.append(column.id >= lowest_id(RESULT, self.since))
        if self.until is not None:
            conditions.append(column.id < lowest_id(RESULT, self.until))
        return conditions


MAX_SIMILAR = 1_000
"""Newest rows that `similar_to` looks at for each part of a hash."""

_INSERT = insert(results).on_conflict_do_nothing()
"""Sent again when the database did not say whether it was stored."""
_LINK = (
    sa.update(results)
    .where(results.c.id == sa.bindparam("this"))
    .values(similar_to=sa.bindparam("other"))
)


class ResultRepository:
    """`caller` None means an operator, who sees all rows; to others, other callers' don't exist."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, result: Result, beside: Unit[None] | None = None) -> Result:
        """Store a result, and `beside` in the same transaction; returns it as it is stored, with
        the earlier one that looks like it."""
        row = row_of(result)
        return await self._put(result, row, lambda each: each.execute(_INSERT, row), beside)

    async def complete(self, result: Result, beside: Unit[None] | None = None) -> Result:
        """Put the outcome into the row of a pending result; one deleted meanwhile stays deleted."""
        row = row_of(result)
        # What is known from elsewhere meanwhile must not be overwritten by the outcome.
        del row["expected"]
        # And of two who answered it, because one was taken for dead, the first holds.
        change = (
            sa.update(results)
            .where(results.c.id == result.id, results.c.status == "pending")
            .values(row)
        )
        return await self._put(result, row, lambda each: each.execute(change), beside)

    async def _put(
        self, result: Result, row: dict[str, Any], write: Unit[Any], beside: Unit[None] | None
    ) -> Result:
        def unit(connection: sa.Connection) -> str | None:
            # First what writes: see Unit.
            if beside is not None:
                beside(connection)
            write(connection)
            return link_similar(connection, row)

        return result.model_copy(update={"similar_to": await self._database.write(unit)})

    async def get(self, result_id: str, *, caller: str | None) -> Result:
        """Raises ResultNotFound."""
        query = _of(caller, sa.select(results).where(results.c.id == result_id))
        rows = await self._rows(query)
        if not rows:
            raise ResultNotFound(f"There is no result {result_id}.")
        return result_of(rows[0])

    async def page(self, wanted: ResultFilter, *, before: str | None, limit: int) -> list[Result]:
        """The newest first, at most `limit`, older than the id `before`. Raises ResultNotFound when
        there is none that they shall be similar to."""
        query = sa.select(results).where(*wanted.conditions()).order_by(results.c.id.desc())
        if before is not None:
            query = query.where(results.c.id < before)
        if wanted.similar_to is not None:
            near = await self._similar(wanted.similar_to, caller=wanted.caller)
            query = query.where(results.c.id.in_(near))
        return [result_of(row) for row in await self._rows(query.limit(limit))]

    async def _similar(self, result_id: str, *, caller: str | None) -> list[str]:
        query = _of(caller, sa.select(results).where(results.c.id == result_id))

        def unit(connection: sa.Connection) -> list[str] | None:
            row = connection.execute(query).mappings().first()
            return None if row is None else similar.all_near(connection, row, MAX_SIMILAR)

        found = await self._database.read(unit)
        if found is None:
            raise ResultNotFound(f"There is no result {result_id}.")
        return found

    async def set_expected(self, result_id: str, label: str, *, caller: str | None) -> None:
        """Record the true class, learned after the answer. Raises ResultNotFound."""
        change = sa.update(results).where(results.c.id == result_id).values(expected=label)
        await self._change_one(result_id, _of(caller, change))

    async def delete(self, result_id: str, *, caller: str | None) -> None:
        """Raises ResultNotFound."""
        await self._change_one(
            result_id, _of(caller, sa.delete(results).where(results.c.id == result_id))
        )

    async def fail_interrupted(self, reason: Failure) -> int:
        """Mark what an earlier process did not finish and nobody can ask about again; returns how
        many there were."""
        change = (
            sa.update(results)
            .where(
                results.c.status == "pending",
                results.c.id.not_in(sa.select(accepted.c.result_id)),
            )
            .values(status="failed", error=reason.model_dump(), completed_at=datetime.now(UTC))
        )

        def unit(connection: sa.Connection) -> int:
            return (connection.execute(change)).rowcount

        return await self._database.write(unit)

    async def _rows(self, query: Any) -> list[sa.RowMapping]:
        def unit(connection: sa.Connection) -> Sequence[sa.RowMapping]:
            return (connection.execute(query)).mappings().all()

        rows = await self._database.read(unit)
        return list(rows)

    async def _change_one(self, result_id: str, change: sa.Update | sa.Delete) -> None:
        def unit(connection: sa.Connection) -> int:
            return (connection.execute(change)).rowcount

        if await self._database.write(unit) == 0:
            raise ResultNotFound(f"There is no result {result_id}.")


def _of(caller: str | None, statement: Any) -> Any:
    return statement if caller is None else statement.where(results.c.caller == caller)


def link_similar(connection: sa.Connection, row: dict[str, Any]) -> str | None:
    """Point a row that was just written to the earlier one whose picture looks most like it."""
    found = similar.nearest(connection, row["caller"], row)
    if found is not None:
        link = {"this": row["id"], "other": found}
        connection.execute(_LINK, link)
    return found


def row_of(result: Result) -> dict[str, Any]:
    row = result.model_dump()
    usage = row.pop("usage") or {}
    phash = result.image.phash if result.image else None
    return row | {
        **similar.hash_columns(phash),
        "prompt_tokens": usage.get("prompt_tokens"),
        "completion_tokens": usage.get("completion_tokens"),
        "cost_usd": usage.get("cost_usd"),
    }


def result_of(row: sa.RowMapping) -> Result:
    values = {name: value for name, value in row.items() if not name.startswith("phash")}
    usage = {name: values.pop(name) for name in Usage.model_fields}
    return Result(**values, usage=None if usage["prompt_tokens"] is None else Usage(**usage))
