"""Labelled pictures to learn from. All SQL for them is here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports it, too

from app.errors import ExampleNotFound
from app.storage.audit import Action, By, note
from app.storage.database import Database
from app.storage.tables import IS_SET_ASIDE, batch_items, examples, lessons, results, reviews

REVIEWED = ("review", "random_review")
"""Labels by people who reviewed answers; no person looked at the picture for other labels."""

ExampleChange = Literal["added", "changed", "known"]
Source = Literal["given", "review"]


@dataclass(frozen=True, slots=True)
class ExampleRow:
    """There is at most one for each domain and picture.

    Attributes:
        label: of the domain, or `none`.
        sha256: of the picture as received.
        picture: the blob name of its prepared JPEG.
        embedding: float16, little endian, of length 1.
        embedded_by: SHA-256 of the model file; embeddings of different files are not comparable.
        result_id: of the answer that a person reviewed.
        created_at: when its label came.
        set_aside: why it is excluded from learning; None: it is not.
        asked_by: the caller whose picture it is, for a reviewed answer.
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
    """A reviewer's label, where it has changed.

    Attributes:
        label: None: it was withdrawn, or the picture shows nothing to learn.
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

    async def put(self, row: ExampleRow) -> tuple[str, ExampleChange]:
        """The newest label of a picture wins, except that a review never changes a given one.
        Returns the id of its row."""

        def unit(connection: sa.Connection) -> tuple[str, ExampleChange]:
            return _put(connection, row)

        return await self._database.write(unit)

    async def to_learn(
        self, domain: str, *, most: int, until: datetime | None = None
    ) -> list[ExampleRow]:
        """Examples not set aside and no newer than `until`, the newest `most` of each label; in the
        order in which they were first known."""
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
        """By label, without those set aside."""
        query = (
            sa.select(_C.label, sa.func.count().label("examples"))
            .where(_C.domain == domain, _C.set_aside.is_(None))
            .group_by(_C.label)
            .order_by(_C.label)
        )
        return {row["label"]: row["examples"] for row in await self._database.mappings(query)}

    async def count_new(self, domain: str) -> int:
        """Examples from reviews that are not set aside and came after the newest lesson, even a
        withdrawn one: what somebody withdrew must not come back automatically."""
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
        """Number of examples set aside, for each domain that was ever taught."""
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
        """Newest first. `before`: an id."""
        query = sa.select(examples).where(_C.domain == domain)
        if label is not None:
            query = query.where(_C.label == label)
        if set_aside is not None:
            query = query.where(_C.set_aside.is_not(None) if set_aside else _C.set_aside.is_(None))
        if before is not None:
            query = query.where(_C.id < before)
        return await self._rows(query.order_by(_C.id.desc()).limit(limit))

    async def there(self, ids: Sequence[str]) -> set[str]:
        """Those of `ids` that still exist."""
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

    async def take_back(self, domain: str, now: datetime, *, by: By) -> None:
        """Learn from the examples set aside after all."""
        change = (
            sa.update(examples)
            .where(_C.domain == domain, IS_SET_ASIDE)
            .values(set_aside=None, created_at=now)
        )
        await self._settle_aside(change, domain, "examples.taken", by)

    async def forget_aside(self, domain: str, *, by: By) -> None:
        """Delete the examples set aside."""
        change = sa.delete(examples).where(_C.domain == domain, IS_SET_ASIDE)
        await self._settle_aside(change, domain, "examples.forgotten", by)

    async def domains(self) -> set[str]:
        """Domains that have examples."""
        query = sa.select(_C.domain).distinct()
        return set(await self._database.scalars(query))

    async def reviewed(self, domains: Sequence[str], *, limit: int) -> list[ReviewedPicture]:
        """Reviewers' labels that have not been learned yet, oldest first."""
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
                # Without its picture, a label can only be withdrawn.
                reviews.c.picture.is_not(None) | said.is_(None),
            )
            .order_by(reviews.c.decided_at, reviews.c.result_id)
            .limit(limit)
        )
        return [ReviewedPicture(**row) for row in await self._database.mappings(query)]

    async def learn(self, reviewed: ReviewedPicture, row: ExampleRow | None) -> None:
        """Record that the review was learned. `row` None: there is nothing to learn from it, and
        its earlier example is deleted; likewise if the answer was deleted meanwhile."""
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

    async def _settle_aside(
        self, change: sa.Update | sa.Delete, domain: str, action: Action, by: By
    ) -> None:
        def unit(connection: sa.Connection) -> None:
            if count := connection.execute(change).rowcount:
                told = {"before": {"set_aside": count}, "after": {"set_aside": 0}}
                note(connection, by, action, domain, **told)

        await self._database.write(unit)

    async def _rows(self, query: sa.Select[Any]) -> list[ExampleRow]:
        return [ExampleRow(**row) for row in await self._database.mappings(query)]


def forget_examples_of_batch(connection: sa.Connection, batch_id: str) -> None:
    """Delete examples from the batch's answers, at the caller's request."""
    of_it = sa.exists().where(
        batch_items.c.result_id == _C.result_id, batch_items.c.batch_id == batch_id
    )
    connection.execute(sa.delete(examples).where(_C.result_id.is_not(None), of_it))


def _put(connection: sa.Connection, row: ExampleRow) -> tuple[str, ExampleChange]:
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
