"""Pictures whose class is known, for what learns from them. All SQL about them is here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # what SQLite speaks, too

from app.errors import ExampleNotFound
from app.storage.audit import By, note
from app.storage.database import Database
from app.storage.tables import IS_SET_ASIDE, batch_items, examples, lessons, results, reviews

REVIEWED = ("review", "random_review")
"""What people said of answers; other labels came without a person who looked."""

Outcome = Literal["added", "changed", "known"]
Source = Literal["given", "review"]


@dataclass(frozen=True, slots=True)
class ExampleRow:
    """Of a domain and a picture there is one.

    Attributes:
        label: of the domain, or `none`.
        sha256: of the picture as it came.
        picture: the name of its prepared JPEG among the blobs.
        embedding: float16, little endian, of length 1.
        embedded_by: SHA-256 of the model file; embeddings of others mean something else.
        result_id: of the answer that a person looked at.
        created_at: when its label came.
        set_aside: why nothing is learned from it; None: it is.
        asked_by: whose picture it is, where a person looked at an answer.
    """

    id: str
    domain: str
    label: str
    sha256: str
    picture: str | None
    embedding: bytes
    embedded_by: str
    source: Source
    result_id: str | None
    caller: str
    created_at: datetime
    set_aside: str | None = None
    asked_by: str | None = None


@dataclass(frozen=True, slots=True)
class ReviewedPicture:
    """What a person said of an answer, where that is new.

    Attributes:
        label: None: it is taken back, or the picture shows nothing that could be learned.
    """

    result_id: str
    domain: str
    label: str | None
    sha256: str | None
    picture: str | None
    reviewer: str | None


class ExampleRepository:
    """Raises StorageUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, row: ExampleRow) -> tuple[str, Outcome]:
        """The newest label of a picture wins, but that reviews change nothing that was given.
        Returns the id of its row."""

        def unit(connection: sa.Connection) -> tuple[str, Outcome]:
            return _put(connection, row)

        return await self._database.write(unit)

    async def to_learn(
        self, domain: str, *, most: int, until: datetime | None = None
    ) -> list[ExampleRow]:
        """Those that are not set aside, and came no later than `until`, of each label the newest
        `most`; in the order in which they were first known."""
        rank = (
            sa.func.row_number()
            .over(partition_by=_C.label, order_by=_C.created_at.desc())
            .label("rank")
        )
        found = sa.select(_C.id, rank).where(_C.domain == domain, _C.set_aside.is_(None))
        if until is not None:
            found = found.where(_C.created_at <= until)
        ranked = found.subquery()
        chosen = sa.select(ranked.c.id).where(ranked.c.rank <= most)
        return await self._rows(sa.select(examples).where(_C.id.in_(chosen)).order_by(_C.id))

    async def counts(self, domain: str) -> dict[str, int]:
        """By label, those that are not set aside."""
        query = (
            sa.select(_C.label, sa.func.count().label("examples"))
            .where(_C.domain == domain, _C.set_aside.is_(None))
            .group_by(_C.label)
            .order_by(_C.label)
        )
        return {row["label"]: row["examples"] for row in await self._database.mappings(query)}

    async def count_new(self, domain: str) -> int:
        """Those from reviews that are not set aside and came after the newest lesson, also where
        that was withdrawn: what somebody took back is not to come again by itself."""
        since = (
            sa.select(sa.func.max(lessons.c.created_at))
            .where(lessons.c.domain == domain, lessons.c.reason.is_(None))
            .scalar_subquery()
        )
        query = sa.select(sa.func.count()).where(
            _C.domain == domain,
            _C.source == "review",
            _C.set_aside.is_(None),
            _C.created_at > since,
        )
        return await self._database.scalar(query) or 0

    async def aside(self) -> dict[str, int]:
        """How many are set aside, by domain, of those that were ever taught."""
        taught = sa.select(lessons.c.domain).distinct().subquery()
        count = (
            sa.select(sa.func.count())
            .where(_C.domain == taught.c.domain, IS_SET_ASIDE)
            .correlate(taught)
            .scalar_subquery()
        )
        query = sa.select(taught.c.domain, count.label("examples"))
        return {row["domain"]: row["examples"] for row in await self._database.mappings(query)}

    async def page(
        self,
        domain: str,
        *,
        label: str | None = None,
        set_aside: bool | None = None,
        before: str | None = None,
        limit: int,
    ) -> list[ExampleRow]:
        """The newest first. `before`: an id."""
        query = sa.select(examples).where(_C.domain == domain)
        if label is not None:
            query = query.where(_C.label == label)
        if set_aside is not None:
            query = query.where(_C.set_aside.is_not(None) if set_aside else _C.set_aside.is_(None))
        if before is not None:
            query = query.where(_C.id < before)
        return await self._rows(query.order_by(_C.id.desc()).limit(limit))

    async def there(self, ids: Sequence[str]) -> set[str]:
        """Those of them that nobody deleted."""
        query = sa.select(_C.id).where(_C.id.in_(list(ids)))
        return set(await self._database.scalars(query))

    async def delete(self, domain: str, example_id: str, *, by: By) -> None:
        """Raises ExampleNotFound."""
        change = sa.delete(examples).where(_C.domain == domain, _C.id == example_id)

        def unit(connection: sa.Connection) -> bool:
            gone = bool(connection.execute(change).rowcount)
            if gone:
                note(connection, by, "example.deleted", domain, before={"id": example_id})
            return gone

        if not await self._database.write(unit):
            raise ExampleNotFound(f"The domain {domain!r} has no example {example_id}.")

    async def set_aside(self, ids: Sequence[str], reason: str) -> None:
        change = sa.update(examples).where(_C.id.in_(list(ids))).values(set_aside=reason)
        await self._database.change(change)

    async def take_back(self, domain: str, now: datetime) -> int:
        """Learn from what was set aside after all; returns how many there were."""
        change = (
            sa.update(examples)
            .where(_C.domain == domain, IS_SET_ASIDE)
            .values(set_aside=None, created_at=now)
        )
        return await self._database.change(change)

    async def forget_aside(self, domain: str) -> int:
        """Those that were set aside; returns how many there were."""
        change = sa.delete(examples).where(_C.domain == domain, IS_SET_ASIDE)
        return await self._database.change(change)

    async def domains(self) -> set[str]:
        """Those that have examples."""
        query = sa.select(_C.domain).distinct()
        return set(await self._database.scalars(query))

    async def reviewed(self, domains: Sequence[str], *, limit: int) -> list[ReviewedPicture]:
        """What people said that is not known here yet, the oldest first."""
        said = sa.case(
            (
                (reviews.c.state == "decided") & results.c.expected_source.in_(REVIEWED),
                results.c.expected,
            ),
            else_=None,
        ).label("label")
        query = (
            sa.select(
                reviews.c.result_id,
                reviews.c.domain,
                said,
                results.c.image["sha256"].as_string().label("sha256"),
                reviews.c.picture,
                reviews.c.reviewer,
            )
            .join(results, results.c.id == reviews.c.result_id)
            .where(
                reviews.c.domain.in_(list(domains)),
                (reviews.c.decided_at.is_not(None)) | (reviews.c.learned.is_not(None)),
                said.is_distinct_from(reviews.c.learned),
                # Of what has no picture any more only what it said is taken back.
                reviews.c.picture.is_not(None) | said.is_(None),
            )
            .order_by(reviews.c.decided_at, reviews.c.result_id)
            .limit(limit)
        )
        return [ReviewedPicture(**row) for row in await self._database.mappings(query)]

    async def learn(self, reviewed: ReviewedPicture, row: ExampleRow | None) -> None:
        """Remember that it is known. `row` None: there is nothing to learn from it, and what was
        learned from it before is forgotten; as it is where the answer was deleted meanwhile."""
        known = (
            sa.update(reviews)
            .where(reviews.c.result_id == reviewed.result_id)
            .values(learned=reviewed.label)
        )
        gone = sa.delete(examples).where(_C.result_id == reviewed.result_id)
        asked_by = sa.select(results.c.caller).where(results.c.id == reviewed.result_id)

        def unit(connection: sa.Connection) -> None:
            is_there = connection.execute(known).rowcount
            if row is None or not is_there:
                connection.execute(gone)
            else:
                _put(connection, replace(row, asked_by=connection.execute(asked_by).scalar()))

        await self._database.write(unit)

    async def _rows(self, query: sa.Select[Any]) -> list[ExampleRow]:
        return [ExampleRow(**row) for row in await self._database.mappings(query)]


def forget_examples_of_batch(connection: sa.Connection, batch_id: str) -> None:
    """Those that its answers brought: somebody wants them to be gone."""
    of_it = sa.exists().where(
        batch_items.c.result_id == _C.result_id, batch_items.c.batch_id == batch_id
    )
    connection.execute(sa.delete(examples).where(_C.result_id.is_not(None), of_it))


def _put(connection: sa.Connection, row: ExampleRow) -> tuple[str, Outcome]:
    found: str | None = connection.execute(_PUT, _values(row)).scalar()
    if found is not None:
        return found, "added" if found == row.id else "changed"
    same = sa.select(_C.id).where(_C.domain == row.domain, _C.sha256 == row.sha256)
    return connection.execute(same).scalar_one(), "known"


def _values(row: ExampleRow) -> Mapping[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__}


_C = examples.c
_NEW = insert(examples)
_PUT = _NEW.on_conflict_do_update(
    index_elements=[_C.domain, _C.sha256],
    set_={
        each.name: _NEW.excluded[each.name]
        for each in examples.columns
        if each.name not in ("id", "domain", "sha256")
    },
    where=(
        (_C.label != _NEW.excluded.label)
        | (_C.embedded_by != _NEW.excluded.embedded_by)
        | _C.set_aside.is_not(None)
    )
    & ((_C.source == "review") | (_NEW.excluded.source == "given")),
).returning(_C.id)
