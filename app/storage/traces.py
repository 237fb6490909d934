"""What a result leaves in other tables, all of which goes when it is erased. All SQL for that is
here."""

from collections.abc import Sequence

import sqlalchemy as sa

from app.storage.batch_rows import DIGEST
from app.storage.deliveries import delete_deliveries
from app.storage.review_queue import forget_reviews
from app.storage.tables import (
    accepted,
    answers,
    batch_items,
    deliveries,
    erasures,
    events,
    examples,
    idempotency_keys,
    ledger,
    results,
    reviews,
)


def is_erased(
    caller: sa.ColumnElement[str], asked_at: sa.ColumnElement[object]
) -> sa.ColumnElement[bool]:
    """Whether the caller was erased after `asked_at`: if so, nothing requested then may be
    stored."""
    return sa.exists().where(erasures.c.caller == caller, erasures.c.asked_at >= asked_at)


def erase_traces(
    connection: sa.Connection, ids: Sequence[str], pictures: Sequence[str]
) -> list[str]:
    """For results that are deleted, or must not be stored, and their pictures, by SHA-256. Returns
    names of blobs that may not be needed any more."""
    names = _blobs(connection, ids)
    forget_reviews(connection, ids)
    erase_events(connection, ids)
    for table in (examples, idempotency_keys):
        connection.execute(sa.delete(table).where(table.c.result_id.in_(ids)))
    waiting = sa.delete(accepted).where(accepted.c.result_id.in_(ids))
    names += connection.execute(waiting.returning(accepted.c.result_id)).scalars()
    # Later requests for the same picture, even by other callers, may have to ask a provider again.
    connection.execute(sa.delete(answers).where(answers.c.picture.in_(pictures)))
    _forget_similarity(connection, ids)
    # The cost of a call stays in the ledger.
    connection.execute(sa.update(ledger).where(ledger.c.result_id.in_(ids)).values(result_id=None))
    _blank_items(connection, ids)
    return names


def erase_events(connection: sa.Connection, subjects: Sequence[str]) -> None:
    """With all their deliveries and attempts, to any webhook."""
    about = sa.select(events.c.number).where(events.c.subject.in_(subjects))
    told = deliveries.c.event.in_(about)
    delete_deliveries(connection, sa.select(deliveries.c.id).where(told), told)
    connection.execute(sa.delete(events).where(events.c.subject.in_(subjects)))


def _blobs(connection: sa.Connection, ids: Sequence[str]) -> list[str]:
    seen = (
        sa.select(table.c.picture).where(table.c.result_id.in_(ids), table.c.picture.is_not(None))
        for table in (reviews, examples)
    )
    sent = sa.select(sa.func.substr(batch_items.c.source, len(DIGEST) + 1)).where(
        batch_items.c.result_id.in_(ids), batch_items.c.source.startswith(DIGEST, autoescape=True)
    )
    return list(connection.execute(sa.union(*seen, sent)).scalars())


def _forget_similarity(connection: sa.Connection, ids: Sequence[str]) -> None:
    """Remove links to them from later results with similar pictures, and from events about
    these."""
    similar = results.c.similar_to.in_(ids)
    found = connection.execute(sa.select(results.c.id, results.c.similar_to).where(similar)).all()
    connection.execute(sa.update(results).where(similar).values(similar_to=None))
    for result_id, gone in found:
        said, unsaid = f'"similar_to":"{gone}"', '"similar_to":null'
        body = sa.func.replace(events.c.body, said, unsaid)
        of_it = sa.update(events).where(events.c.subject == result_id)
        connection.execute(of_it.values(body=body))


def _blank_items(connection: sa.Connection, ids: Sequence[str]) -> None:
    """Their batches keep their counts. Duplicates are detached from them: when tried again, they
    are classified on their own."""
    blank = {"item_id": "", "source": "", "expected": None, "metadata": None, "result_id": None}
    these = sa.update(batch_items).where(_ITEM.result_id.in_(ids)).values(blank)
    for batch_id, number in connection.execute(these.returning(_ITEM.batch_id, _ITEM.number)).all():
        twins = _ITEM.batch_id == batch_id, _ITEM.same_as == number
        first = connection.execute(sa.select(sa.func.min(_ITEM.number)).where(*twins)).scalar()
        if first is not None:
            heir = sa.case((_ITEM.number == first, sa.null()), else_=first)
            connection.execute(sa.update(batch_items).where(*twins).values(same_as=heir))


_ITEM = batch_items.c
