"""Erasing a result, or everything that belongs to a caller. All SQL for that is here and in
`traces`.

A caller's rows are deleted in small groups, each in a transaction of its own. If the process dies,
the erasure's own row is how the rest is found again. That row stays for a day: meanwhile, nothing
is stored for requests made before the erasure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa

from app.identifiers import CALL, lowest_id
from app.storage.audit import By, note
from app.storage.batch_deletion import delete_rows, stop_work
from app.storage.batch_rows import DELETED, DIGEST
from app.storage.caller_rows import AT_ONCE, ROWS, UNDER_WAY, make_nobodys
from app.storage.database import Database, Unit
from app.storage.putting import putting
from app.storage.results import no_result
from app.storage.seen_by import seen_by
from app.storage.tables import (
    IS_UPLOAD,
    batch_items,
    batches,
    erasures,
    examples,
    ledger,
    results,
)
from app.storage.traces import erase_events, erase_traces

KEPT_FOR = timedelta(days=1)
"""After its end: by then, every request made before it has long been answered or given up."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """
    Attributes:
        asked_at: newer data is not erased.
        counts: what was deleted, by kind.
        ended_at: None: some of it may still exist.
    """

    caller: str
    asked_at: datetime
    actor: str
    request_id: str | None
    counts: Mapping[str, int]
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Gone:
    """
    Attributes:
        results: how many.
        blobs: names of their pictures, which others may need.
    """

    results: int
    blobs: Sequence[str]


EMPTIED_WITHIN_MS = 200
"""How long readers are waited for before the log of SQLite is emptied another time."""


class ErasureRepository:
    """Raises StorageUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def result(self, result_id: str, *, caller: str | None, by: By) -> Gone:
        """Erase it with all its traces. `caller`: its required owner. Raises ResultNotFound."""
        this = seen_by(caller, results, sa.delete(results).where(results.c.id == result_id))
        change = this.returning(results.c.caller, results.c.image)

        def unit(connection: sa.Connection) -> Gone:
            row = connection.execute(change).first()
            if row is None:
                raise no_result(result_id)
            note(connection, by, "result.erased", row.caller)
            return Gone(1, erase_traces(connection, [result_id], _pictures([row])))

        return await self._database.write(unit)

    async def begin(self, caller: str, by: By, now: datetime) -> Erasure:
        """From now on, nothing is stored for this caller's earlier requests, and its batches are
        invisible and stopped."""
        erasure = Erasure(caller, now, by.actor, by.request_id, {}, None)
        hide = sa.update(batches).where(batches.c.caller == caller).values(status=DELETED)

        def unit(connection: sa.Connection) -> None:
            connection.execute(_BEGIN, asdict(erasure))
            connection.execute(hide)
            note(connection, by, "caller.erasing", caller)

        await self._database.write(unit)
        return erasure

    async def end(self, erasure: Erasure, now: datetime) -> Erasure:
        """Recorded once."""
        column = erasures.c
        change = (
            sa.update(erasures)
            .where(column.caller == erasure.caller, column.asked_at == erasure.asked_at)
            .where(column.ended_at.is_(None))
            .values(ended_at=now)
            .returning(column.counts)
        )

        def unit(connection: sa.Connection) -> None:
            counts = connection.execute(change).scalar()
            if counts is not None:
                by = By(erasure.actor, erasure.request_id)
                note(connection, by, "caller.erased", erasure.caller, after=counts)

        await self._database.write(unit)
        return await self.get(erasure.caller)

    async def get(self, caller: str) -> Erasure:
        """The erasure must have been begun."""
        query = sa.select(erasures).where(erasures.c.caller == caller)
        (row,) = await self._database.mappings(query)
        return Erasure(**row)

    async def all(self) -> list[Erasure]:
        """Erasures that have not ended, and those of the last day."""
        query = sa.select(erasures).order_by(erasures.c.asked_at)
        return [Erasure(**row) for row in await self._database.mappings(query)]

    async def forget(self, before: datetime) -> None:
        """Erasures that ended before then."""
        old = sa.delete(erasures).where(erasures.c.ended_at < before)
        await self._database.change(old)

    async def batches(self, erasure: Erasure) -> list[str]:
        """Ids of its batches that are not deleted completely."""
        query = sa.select(batches.c.id).where(
            batches.c.caller == erasure.caller, batches.c.status == DELETED
        )
        return await self._database.scalars(query)

    async def uploads(self, batch_id: str, *, after: str) -> list[str]:
        """Names of the batch's pictures after `after`, a page at a time."""
        name = sa.func.substr(batch_items.c.source, len(DIGEST) + 1)
        return await self._database.scalars(
            sa.select(name)
            .distinct()
            .where(batch_items.c.batch_id == batch_id, IS_UPLOAD, name > after)
            .order_by(name)
            .limit(AT_ONCE)
        )

    async def stop_batch(self, batch_id: str) -> None:
        """From now on, no worker can store a result of it."""
        await stop_work(self._database, batch_id)

    async def delete_batch(self, erasure: Erasure, batch_id: str) -> None:
        """Its rows, and the events about it."""

        def unit(connection: sa.Connection) -> int:
            erase_events(connection, [batch_id])
            return 1

        await self._step(erasure, "batches", unit)
        await delete_rows(self._database, batch_id)

    async def is_receiving(self) -> bool:
        """Whether a batch is being received: its pictures may be stored before its items are."""
        query = sa.select(batches.c.id).where(batches.c.status == "receiving").limit(1)
        return bool(await self._database.scalars(query))

    async def some_results(self, erasure: Erasure) -> Gone:
        """Erase the next results; none: all are gone."""
        some = (
            sa.select(results.c.id)
            .where(results.c.caller == erasure.caller, results.c.created_at <= erasure.asked_at)
            .order_by(results.c.id)
            .limit(AT_ONCE)
        )
        change = sa.delete(results).where(results.c.id.in_(some))
        blobs: list[str] = []

        def unit(connection: sa.Connection) -> int:
            rows = connection.execute(change.returning(results.c.id, results.c.image)).all()
            ids = [each.id for each in rows]
            blobs[:] = erase_traces(connection, ids, _pictures(rows)) if ids else []
            return len(ids)

        return Gone(await self._step(erasure, "results", unit), blobs)

    async def evaluated(self, erasure: Erasure) -> list[str]:
        """Ids and SHA-256 of all results that an evaluation may have judged."""
        column = results.c
        mine = (column.caller == erasure.caller, column.expected.is_not(None))
        picture = column.image["sha256"].as_string()
        ids, pictures = sa.select(column.id).where(*mine), sa.select(picture).where(*mine)
        found = await self._database.scalars(ids.union(pictures))
        return [each for each in found if each is not None]

    async def some_examples(self, erasure: Erasure) -> list[str | None]:
        """Delete the next examples that the caller gave, or that show a picture of it; returns
        names of their pictures. Examples of erased results were deleted with these."""
        column = examples.c
        gave = (column.caller == erasure.caller) & (column.source == "given")
        some = (
            sa.select(column.id)
            .where(gave | (column.asked_by == erasure.caller))
            .where(column.created_at <= erasure.asked_at)
            .limit(AT_ONCE)
        )
        change = sa.delete(examples).where(column.id.in_(some)).returning(column.picture)
        names: list[str | None] = []

        def unit(connection: sa.Connection) -> int:
            names[:] = connection.execute(change).scalars().all()
            return len(names)

        await self._step(erasure, "examples", unit)
        return names

    async def some_rest(self, erasure: Erasure) -> int:
        """Delete the next rows that are neither results nor batches; returns how many."""
        count = 0
        for name, erase in ROWS.items():
            unit = partial(erase, erasure.caller, erasure.asked_at)
            count += await self._step(erasure, name, unit)
        return count

    async def some_calls(self, erasure: Erasure, *, after: str) -> str | None:
        """Anonymize the next ledger entries; returns the id of the last, None when there were none.
        A read finds them, because there may be millions."""
        column = ledger.c
        ids = await self._database.scalars(
            sa.select(column.id)
            .where(column.id > after, column.id < lowest_id(CALL, erasure.asked_at + UNDER_WAY))
            .where(column.caller == erasure.caller)
            .order_by(column.id)
            .limit(AT_ONCE)
        )
        await self._step(erasure, "calls", partial(make_nobodys, ids))
        return ids[-1] if ids else None

    async def count_pictures(self, erasure: Erasure, count: int) -> None:
        await self._step(erasure, "pictures", lambda _: count)

    async def empty_log(self) -> bool:
        """Remove deleted data from SQLite's write-ahead log, too. Returns whether it is empty: it
        is not where somebody else reads or writes at that moment."""

        def unit(connection: sa.Connection) -> bool:
            if connection.dialect.name != "sqlite":
                return True
            # While it waits for readers, nobody may write.
            before = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
            connection.exec_driver_sql(f"PRAGMA busy_timeout={EMPTIED_WITHIN_MS}")
            try:
                emptied = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={before}")
            return bool(emptied[0] == 0)

        return await self._database.read(unit)

    async def _step(self, erasure: Erasure, name: str, unit: Unit[int]) -> int:
        """Counts in the same transaction, so that a crash can't separate the two."""
        this = erasures.c.caller == erasure.caller

        def counted(connection: sa.Connection) -> int:
            touched = sa.update(erasures).where(this).values(actor=erasures.c.actor)
            known = connection.execute(touched.returning(erasures.c.counts)).scalar() or {}
            count = unit(connection)
            if count:
                more = {**known, name: known.get(name, 0) + count}
                connection.execute(sa.update(erasures).where(this).values(counts=more))
            return count

        return await self._database.write(counted)


def _pictures(rows: Sequence[Any]) -> list[str]:
    """SHA-256 of the pictures of results."""
    return [each.image["sha256"] for each in rows if each.image is not None]


_BEGIN = putting(erasures)
