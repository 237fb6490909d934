"""Handing out reviews, and statistics about them. All SQL for that is here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.moment import EPOCH, LATEST
from app.storage.batch_rows import DIGEST
from app.storage.database import Database
from app.storage.review_rows import QUEUES, Queue, ReviewCount, Reviewer, ReviewRow, ReviewStep
from app.storage.tables import (
    IS_DECIDED,
    IS_OPEN_REVIEW,
    batch_items,
    examples,
    review_steps,
    reviews,
)


class ReviewRepository:
    """`caller` None means an operator, who sees all rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(
        self, reviewer: Reviewer, places: Sequence[Queue], *, until: datetime, now: datetime
    ) -> list[ReviewRow]:
        """Reviews the reviewer already holds, then the next ones: `places` names a queue for each;
        if it is empty, the other one is used. They stay the reviewer's alone until `until`."""
        keep = sa.update(reviews).where(*_own(reviewer, now)).values(claimed_until=until)

        def unit(connection: sa.Connection) -> list[ReviewRow]:
            # The first statement writes: see Unit.
            found = _first(connection, keep.returning(reviews), len(places))
            return found + _Search(connection, reviewer, now, until).fill(places[len(found) :])

        return await self._database.write(unit)

    async def look(
        self, reviewer: Reviewer, places: Sequence[Queue], *, now: datetime
    ) -> list[ReviewRow]:
        """What `claim` would return, without claiming it."""
        own = sa.select(reviews).where(*_own(reviewer, now))

        def unit(connection: sa.Connection) -> list[ReviewRow]:
            found = _first(connection, own, len(places))
            return found + _Search(connection, reviewer, now, None).fill(places[len(found) :])

        return await self._database.read(unit)

    async def get(self, result_id: str) -> ReviewRow | None:
        query = sa.select(reviews).where(_C.result_id == result_id)
        row = await self._database.first(query)
        return None if row is None else ReviewRow(**row)

    async def steps(self, result_id: str) -> list[ReviewStep]:
        """Oldest first."""
        query = sa.select(review_steps).where(review_steps.c.result_id == result_id)
        query = query.order_by(review_steps.c.at)
        return [ReviewStep(**row) for row in await self._database.mappings(query)]

    async def waiting(self, *, caller: str | None, domain: str | None) -> dict[Queue, int]:
        query = (
            sa.select(_C.kind, sa.func.count())
            .where(IS_OPEN_REVIEW, _C.kind.in_(QUEUES), *_visible(caller, domain))
            .group_by(_C.kind)
        )

        def unit(connection: sa.Connection) -> dict[Queue, int]:
            counts: dict[Queue, int] = dict.fromkeys(QUEUES, 0)
            counts.update(dict(connection.execute(query).all()))
            return counts

        return await self._database.read(unit)

    async def waiting_by_domain(self) -> dict[tuple[str, str], int]:
        """By domain and queue."""
        key = (_C.domain, _C.kind)
        query = sa.select(*key, sa.func.count()).where(IS_OPEN_REVIEW, _C.kind.in_(QUEUES))

        def unit(connection: sa.Connection) -> dict[tuple[str, str], int]:
            rows = connection.execute(query.group_by(*key))
            return {(domain, queue): count for domain, queue, count in rows}

        return await self._database.read(unit)

    async def decided(
        self,
        *,
        caller: str | None,
        domain: str | None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[ReviewCount]:
        """`since` is inclusive, `until` exclusive."""
        key = (_C.kind, _C.action, _C.reviewer)
        when = (IS_DECIDED, _C.decided_at >= (since or EPOCH), _C.decided_at < (until or LATEST))
        query = sa.select(*key, sa.func.count().label("times")).group_by(*key)
        query = query.where(*when, *_visible(caller, domain))
        return [ReviewCount(**row) for row in await self._database.mappings(query)]

    async def uploads(self, result_ids: Sequence[str]) -> dict[str, str]:
        """For results of a batch, the digests of the pictures that were uploaded for them."""
        column = batch_items.c
        query = sa.select(column.result_id, column.source).where(
            column.result_id.is_not(None), column.result_id.in_(list(result_ids))
        )

        def unit(connection: sa.Connection) -> dict[str, str]:
            return {
                result_id: source.removeprefix(DIGEST)
                for result_id, source in connection.execute(query)
                if source.startswith(DIGEST)
            }

        return await self._database.read(unit)

    async def example_picture(self, result_id: str) -> str | None:
        """The blob name of the picture that the local model learns from this result."""
        query = sa.select(examples.c.picture).where(examples.c.result_id == result_id)
        return await self._database.scalar(query)


@dataclass(frozen=True, slots=True)
class _Search:
    """Finds free reviews, in one transaction. `until` None: they are not claimed."""

    connection: sa.Connection
    reviewer: Reviewer
    now: datetime
    until: datetime | None

    def fill(self, places: Sequence[Queue]) -> list[ReviewRow]:
        """Those that the reviewer has skipped come last."""
        found: list[ReviewRow] = []
        for skipped in (False, True):
            if left := places[len(found) :]:
                found += self._some(left, skipped, found)
        return found

    def _some(
        self, places: Sequence[Queue], skipped: bool, known: Sequence[ReviewRow]
    ) -> list[ReviewRow]:
        """If one queue has too few, the other fills up."""
        random = self._take("random", places.count("random"), skipped, known)
        unsure = self._take("unsure", len(places) - len(random), skipped, known)
        lacking = len(places) - len(random) - len(unsure)
        random += self._take("random", lacking, skipped, (*known, *random))
        heads: dict[Queue, list[ReviewRow]] = {"unsure": unsure, "random": random}
        chosen: list[ReviewRow] = []
        for place in places:
            other: Queue = "unsure" if place == "random" else "random"
            if queue := heads[place] or heads[other]:
                chosen.append(queue.pop(0))
        return chosen

    def _take(
        self, queue: Queue, most: int, skipped: bool, known: Sequence[ReviewRow]
    ) -> list[ReviewRow]:
        if most == 0:
            return []
        query = _free(self.reviewer, queue, self.now, skipped)
        query = query.where(_C.result_id.not_in([each.result_id for each in known])).limit(most)
        if self.until is not None:
            # A concurrent claim waits for this, and then finds them claimed.
            query = query.with_for_update()
        rows = [ReviewRow(**row) for row in self.connection.execute(query).mappings()]
        if self.until is None or not rows:
            return rows
        claimed = [replace(row, **self._claim()) for row in rows]
        these = _C.result_id.in_([row.result_id for row in rows])
        self.connection.execute(sa.update(reviews).where(these).values(self._claim()))
        return claimed

    def _claim(self) -> dict[str, Any]:
        return {"claimed_by": self.reviewer.name, "claimed_until": self.until}


def _visible(caller: str | None, domain: str | None) -> list[sa.ColumnElement[bool]]:
    wanted = ((_C.caller, caller), (_C.domain, domain))
    return [column == value for column, value in wanted if value is not None]


def _own(reviewer: Reviewer, now: datetime) -> list[sa.ColumnElement[bool]]:
    """Few rows: a reviewer gets no more before these are decided, and deciding ends the claim."""
    mine = [_C.claimed_by == reviewer.name, _C.claimed_until > now]
    return mine + _visible(reviewer.caller, reviewer.domain)


def _first(connection: sa.Connection, statement: Any, most: int) -> list[ReviewRow]:
    rows = [ReviewRow(**row) for row in connection.execute(statement).mappings()]
    return sorted(rows, key=_order)[:most]


def _free(reviewer: Reviewer, queue: Queue, now: datetime, skipped: bool) -> sa.Select[Any]:
    """Only the first copy of each picture, as its decision applies to all."""
    skip = review_steps.c
    by_reviewer = sa.exists().where(
        skip.result_id == _C.result_id, skip.reviewer == reviewer.name, skip.action == "skip"
    )
    copy = reviews.alias()
    is_copy = sa.exists().where(
        sa.or_(copy.c.result_id < _C.result_id, copy.c.claimed_until > now),
        copy.c.picture == _C.picture,
        copy.c.state == "open",
        copy.c.kind.in_(QUEUES),
        copy.c.domain == _C.domain,
        copy.c.caller == _C.caller,
    )
    return (
        sa.select(reviews)
        .where(
            IS_OPEN_REVIEW,
            _C.kind == queue,
            sa.or_(_C.claimed_until.is_(None), _C.claimed_until <= now),
            *((_C.skips > 0, by_reviewer) if skipped else (~by_reviewer,)),
            ~is_copy,
            *_visible(reviewer.caller, reviewer.domain),
        )
        .order_by(_C.skips, _C.rank)
    )


def _order(row: ReviewRow) -> tuple[int, float]:
    return row.skips, row.rank


_C = reviews.c
