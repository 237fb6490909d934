"""A reviewer's decision, written with all its consequences. All SQL for that is here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from app.result import Result
from app.storage.database import Database
from app.storage.events import result_reviewed
from app.storage.outbox import Outbox, Telling
from app.storage.putting import putting
from app.storage.results import no_result, result_of
from app.storage.review_rows import ReviewRow, ReviewStep
from app.storage.seen_by import seen_by
from app.storage.tables import results, review_steps, reviews
from app.storage.tallies import count_label

MOST_COPIES = 100
"""Copies of a picture that are decided together; the rest are reviewed again."""


@dataclass(frozen=True, slots=True)
class ReviewChange:
    """
    Attributes:
        review: its new state.
        result: the fields of STANDING that change.
        step: to be kept as history.
        copies: decides other results with the same picture; None: they do not change.
    """

    review: ReviewRow
    result: Mapping[str, Any]
    step: ReviewStep
    copies: "Judge | None" = None


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A result and its review, None where there is none, as they are now.

    Attributes:
        changed: results just changed: this one, and others with the same picture.
    """

    result: Result
    review: ReviewRow | None
    changed: Sequence[Result] = ()


Judge = Callable[[Result, ReviewRow | None, ReviewStep | None], ReviewChange | None]
"""From the current state and the step that led to it, to the change to make; None: there is nothing
to change. Without side effects, as it may be called twice. Raises to refuse."""


class ReviewChanges:
    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def change(self, result_id: str, judge: Judge, *, caller: str | None) -> Reviewed:
        """Raises ResultNotFound, and what `judge` raises."""
        this = seen_by(caller, results, sa.update(results).where(results.c.id == result_id))
        # Locks the row.
        touched = this.values(expected=results.c.expected).returning(results)
        telling = self._outbox.telling()

        def unit(connection: sa.Connection) -> Reviewed:
            # The first statement writes: see Unit. Whoever decides another copy of the picture
            # waits here; later, the two would deadlock.
            connection.execute(_TOUCH_FIRST_COPY, {"this": result_id})
            row = connection.execute(touched).mappings().first()
            if row is None:
                raise no_result(result_id)
            return _change(connection, telling, result_of(row), judge)

        reviewed = await self._database.write(unit)
        telling.wake()
        return reviewed


def _change(connection: sa.Connection, telling: Telling, result: Result, judge: Judge) -> Reviewed:
    query = sa.select(reviews).where(_C.result_id == result.id).with_for_update()
    row = connection.execute(query).mappings().first()
    review = None if row is None else ReviewRow(**row)
    change = judge(result, review, _last_step(connection, result.id))
    if change is None:
        return Reviewed(result, review)
    alike = [] if change.copies is None else _copies(connection, change.review, review)
    connection.execute(_PUT, asdict(change.review))
    connection.execute(sa.insert(review_steps), asdict(change.step))
    after = result.model_copy(update=dict(change.result))
    if change.result:
        stands = sa.update(results).where(results.c.id == result.id)
        connection.execute(stands.values(dict(change.result)))
        count_label(connection, result, after)
        telling.tell(connection, result_reviewed(after))
    changed = [after]
    for copy in alike:
        assert change.copies is not None  # noqa: S101
        changed += _change(connection, telling, copy, change.copies).changed
    return Reviewed(after, change.review, changed)


def _copies(connection: sa.Connection, after: ReviewRow, before: ReviewRow | None) -> list[Result]:
    """Other results with the same picture: open ones, or those decided together with it."""
    if before is None or before.picture is None:
        return []
    same = [_C.picture == before.picture, _C.domain == before.domain, _C.caller == before.caller]
    if after.state == "decided":
        same.append(_C.state == "open")
    else:
        same += [_C.reviewer == before.reviewer, _C.decided_at == before.decided_at]
    ids = sa.select(_C.result_id).where(*same, _C.result_id != before.result_id)
    these = connection.execute(ids.order_by(_C.result_id).limit(MOST_COPIES)).scalars().all()
    if not these:
        return []
    touched = sa.update(results).where(results.c.id.in_(these)).values(expected=results.c.expected)
    return [result_of(row) for row in connection.execute(touched.returning(results)).mappings()]


def _last_step(connection: sa.Connection, result_id: str) -> ReviewStep | None:
    query = sa.select(review_steps).where(review_steps.c.result_id == result_id)
    query = query.order_by(review_steps.c.at.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    return None if row is None else ReviewStep(**row)


_C = reviews.c
_THIS = reviews.alias()
_FIRST_COPY = sa.select(sa.func.min(_C.result_id)).where(
    _THIS.c.result_id == sa.bindparam("this"),
    *(_C[name] == _THIS.c[name] for name in ("picture", "domain", "caller")),
)
_TOUCH_FIRST_COPY = (
    sa.update(results)
    .where(results.c.id == _FIRST_COPY.scalar_subquery())
    .values(expected=results.c.expected)
)
_PUT = putting(reviews)
