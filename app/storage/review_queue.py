"""The review queue, as changed in the transactions that store, label and delete results. All SQL
for that is here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports it, too

from app.identifiers import REVIEW_STEP, new_id
from app.result import NONE, Result
from app.storage.batch_rows import ItemOutcome
from app.storage.database import Unit
from app.storage.review_rows import STANDING, TOLD, ReviewKind, ReviewStep, ToReview
from app.storage.tables import results, review_steps, reviews


def kind_of(connection: sa.Connection, result_id: str) -> ReviewKind | None:
    """Its kind of review, open or decided; None: it was in no queue."""
    return connection.execute(sa.select(_C.kind).where(_C.result_id == result_id)).scalar()


def close_told(connection: sa.Connection, result: Result, label: str, teller: str) -> bool:
    """Closes the review because the true class was given. False: no review was open."""
    now = datetime.now(UTC)
    is_right = (result.predicted_class or NONE) == label
    close = (
        sa.update(reviews)
        .where(_C.result_id == result.id, _C.decided_at.is_(None))
        .values(
            state="decided",
            action="confirm" if is_right else "correct",
            label=label,
            reviewer=teller,
            decided_at=now,
            claimed_by=None,
            claimed_until=None,
        )
    )
    if not connection.execute(close).rowcount:
        return False
    before = {name: getattr(result, name) for name in STANDING}
    step = ReviewStep(new_id(REVIEW_STEP, now), result.id, teller, TOLD, label, None, before, now)
    connection.execute(sa.insert(review_steps), asdict(step))
    return True


def queueing(to_review: Sequence[ToReview]) -> Unit[None] | None:
    """To be run after the results are stored, in their transaction: a result stored with another
    outcome, or labelled meanwhile, is not queued."""
    rows = [
        {
            "this": each.result_id,
            "of_status": each.status,
            "of_kind": each.kind,
            "of_share": each.share,
            "of_rank": each.rank,
            "of_picture": each.picture,
        }
        for each in to_review
    ]

    def unit(connection: sa.Connection) -> None:
        connection.execute(_QUEUE, rows)

    return unit if rows else None


def queue_twins(connection: sa.Connection, outcomes: Iterable[ItemOutcome]) -> None:
    """Queue items that share a picture with a queued one."""
    rows = [
        {"this": twin.id, "original": each.result.id}
        for each in outcomes
        for twin in each.twins.values()
        if twin.expected is None
    ]
    if rows:
        connection.execute(_QUEUE_TWIN, rows)


def forget_reviews(connection: sa.Connection, result_ids: Sequence[str]) -> None:
    """In the transaction that deletes their results; their pictures go with the next sweep."""
    for table in (reviews, review_steps):
        connection.execute(sa.delete(table).where(table.c.result_id.in_(list(result_ids))))


_C = reviews.c
_NEW = {"state": sa.literal("open"), "skips": sa.literal(0)}


def _queued(values: Mapping[str, Any], source: sa.Select[Any]) -> sa.Insert:
    columns = {**values, **_NEW}
    return (
        insert(reviews)
        .from_select(list(columns), source.with_only_columns(*columns.values()))
        .on_conflict_do_nothing()
    )


def _given(name: str, type_: sa.types.TypeEngine[Any]) -> sa.BindParameter[Any]:
    return sa.bindparam(f"of_{name}", type_=type_)


_QUEUE = _queued(
    {
        "result_id": results.c.id,
        **{name: results.c[name] for name in ("caller", "domain", "created_at")},
        **{name: _given(name, _C[name].type) for name in ("kind", "share", "rank", "picture")},
    },
    sa.select(results).where(
        results.c.id == sa.bindparam("this"),
        results.c.status == sa.bindparam("of_status"),
        results.c.expected.is_(None),
    ),
)
_QUEUE_TWIN = _queued(
    {
        "result_id": sa.bindparam("this", type_=sa.String),
        **{
            name: _C[name]
            for name in ("caller", "domain", "created_at", "kind", "share", "rank", "picture")
        },
    },
    sa.select(reviews).where(_C.result_id == sa.bindparam("original")),
)
