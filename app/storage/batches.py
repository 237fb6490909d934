"""Batches in the database, the truth about what is done. All SQL about them is here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

import sqlalchemy as sa

from app.errors import BatchNotFound
from app.identifiers import RESULT, new_id
from app.storage.database import Database, Unit
from app.storage.results import Result, Usage, link_similar, result_of, row_of
from app.storage.tables import UtcTime, batch_errors, batch_items, batch_shards, batches, results

BatchStatus = Literal[
    "receiving", "queued", "running", "paused", "completed", "failed", "cancelled"
]
ItemState = Literal["waiting", "done"]

AT_ONCE = 500
"""Identifiers in one statement."""

UNFINISHED: tuple[BatchStatus, ...] = ("queued", "running")
OVER: tuple[BatchStatus, ...] = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch and how far it is.

    Attributes:
        total: items, duplicates included; bad rows are none.
        next_shard: the first that was not given out yet.
        expected, correct: done items whose true class is known, and those that it was said of.
    """

    id: str
    caller: str
    name: str | None
    domain: str
    provider: str | None
    lane: Literal["interactive", "batch"]
    batch_size: int
    shard_size: int
    on_error: Literal["continue", "stop"]
    deadline: datetime | None
    status: BatchStatus
    created_at: datetime
    reason: str | None = None
    total: int = 0
    duplicates: int = 0
    bad_rows: int = 0
    next_shard: int = 0
    accepted: int = 0
    needs_review: int = 0
    failed: int = 0
    expected: int = 0
    correct: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    started_at: datetime | None = None
    completed_at: datetime | None = None

    @property
    def done(self) -> int:
        return self.accepted + self.needs_review + self.failed

    @property
    def is_over(self) -> bool:
        return self.status in OVER


@dataclass(frozen=True, slots=True)
class BatchItem:
    """
    Attributes:
        number: its place in the batch, from 0.
        source: a URL, or `sha256:` and the digest of an upload.
        same_as: the number of an earlier item with the same picture, whose answer is its own.
    """

    number: int
    item_id: str
    source: str
    expected: str | None = None
    metadata: dict[str, Any] | None = None
    same_as: int | None = None
    state: ItemState = "waiting"
    attempts: int = 0
    result_id: str | None = None


@dataclass(frozen=True, slots=True)
class BadRow:
    """What could not be taken for an item: `place` is a line or a file's name."""

    number: int
    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """An item's result, to be stored; `again`: only what it cost, for the item is tried again."""

    item: BatchItem
    result: Result
    beside: Unit[None] | None = None
    again: bool = False


class BatchRepository:
    """`caller` None means an operator, who sees all batches; to others, others' don't exist."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, batch: BatchRow) -> None:
        values = {name: getattr(batch, name) for name in BatchRow.__dataclass_fields__}
        await self._database.write(lambda each: _run(each, sa.insert(batches).values(values)))

    async def add(
        self, batch_id: str, items: Sequence[BatchItem], bad_rows: Sequence[BadRow]
    ) -> None:
        """More of what belongs to it, while it is received."""
        rows = [_item_row(batch_id, each) for each in items]
        errors = [
            {
                "batch_id": batch_id,
                "number": each.number,
                "place": each.place[:255],
                "reason": each.reason[:500],
            }
            for each in bad_rows
        ]

        def unit(connection: sa.Connection) -> None:
            if rows:
                connection.execute(sa.insert(batch_items), rows)
            if errors:
                connection.execute(sa.insert(batch_errors), errors)

        await self._database.write(unit)

    async def received(self, batch_id: str) -> None:
        """All of it is there: duplicates are found, shards are cut, and it can begin."""

        def unit(connection: sa.Connection) -> None:
            _find_duplicates(connection, batch_id)
            _cut_shards(connection, batch_id)

        await self._database.write(unit)

    async def get(self, batch_id: str, *, caller: str | None = None) -> BatchRow:
        """Raises BatchNotFound."""
        query = sa.select(batches).where(batches.c.id == batch_id)
        if caller is not None:
            query = query.where(batches.c.caller == caller)

        def unit(connection: sa.Connection) -> sa.RowMapping | None:
            return connection.execute(query).mappings().first()

        row = await self._database.read(unit)
        if row is None or row["status"] == "receiving":
            raise BatchNotFound(f"There is no batch {batch_id}.")
        return BatchRow(**row)

    async def page(self, *, caller: str | None, before: str | None, limit: int) -> list[BatchRow]:
        """The newest first, older than the id `before`."""
        query = sa.select(batches).where(batches.c.status != "receiving")
        if caller is not None:
            query = query.where(batches.c.caller == caller)
        if before is not None:
            query = query.where(batches.c.id < before)
        query = query.order_by(batches.c.id.desc()).limit(limit)

        def unit(connection: sa.Connection) -> list[BatchRow]:
            return [BatchRow(**row) for row in connection.execute(query).mappings()]

        return await self._database.read(unit)

    async def items(
        self, batch_id: str, *, after: int, limit: int
    ) -> list[tuple[BatchItem, Result | None]]:
        """In their order, from behind the number `after`, with the results that are there."""
        query = (
            sa.select(batch_items)
            .where(batch_items.c.batch_id == batch_id, batch_items.c.number > after)
            .order_by(batch_items.c.number)
            .limit(limit)
        )

        def unit(connection: sa.Connection) -> list[tuple[BatchItem, Result | None]]:
            found = [_item(row) for row in connection.execute(query).mappings()]
            ids = [each.result_id for each in found if each.result_id]
            wanted = sa.select(results).where(results.c.id.in_(ids))
            known = {row["id"]: result_of(row) for row in connection.execute(wanted).mappings()}
            return [(each, known.get(each.result_id or "")) for each in found]

        return await self._database.read(unit)

    async def bad_rows(self, batch_id: str, *, after: int, limit: int) -> list[BadRow]:
        query = (
            sa.select(batch_errors)
            .where(batch_errors.c.batch_id == batch_id, batch_errors.c.number > after)
            .order_by(batch_errors.c.number)
            .limit(limit)
        )

        def unit(connection: sa.Connection) -> list[BadRow]:
            rows = connection.execute(query).mappings()
            return [BadRow(row["number"], row["place"], row["reason"]) for row in rows]

        return await self._database.read(unit)

    async def change_status(
        self, batch_id: str, status: BatchStatus, *, of: Iterable[BatchStatus], reason: str = ""
    ) -> bool:
        """Whether it was in one of `of`."""
        values: dict[str, Any] = {"status": status}
        if reason:
            values["reason"] = reason
        if status in OVER:
            values["completed_at"] = datetime.now(UTC)
        change = (
            sa.update(batches)
            .where(batches.c.id == batch_id, batches.c.status.in_(list(of)))
            .values(values)
        )
        return await self._database.write(lambda each: bool(_run(each, change)))

    async def unfinished(self) -> list[str]:
        """Batches on which there is work to do."""
        query = (
            sa.select(batches.c.id).where(batches.c.status.in_(UNFINISHED)).order_by(batches.c.id)
        )

        def unit(connection: sa.Connection) -> list[str]:
            return list(connection.execute(query).scalars())

        return await self._database.read(unit)

    async def forget(self, batch_id: str) -> None:
        """As if it had never been."""
        await self._database.write(lambda each: _forget(each, batches.c.id == batch_id))

    async def forget_unreceived(self) -> int:
        """What a crash cut off while it was received; nobody was told of it."""
        return await self._database.write(
            lambda each: _forget(each, batches.c.status == "receiving")
        )

    async def given_out(self, batch_id: str) -> list[int]:
        """Shards that were begun and are not done."""
        query = (
            sa.select(batch_shards.c.number)
            .join(batches, batches.c.id == batch_shards.c.batch_id)
            .where(
                batch_shards.c.batch_id == batch_id,
                batch_shards.c.left > 0,
                batch_shards.c.number < batches.c.next_shard,
            )
            .order_by(batch_shards.c.number)
        )

        def unit(connection: sa.Connection) -> list[int]:
            return list(connection.execute(query).scalars())

        return await self._database.read(unit)

    async def give_out(self, batch_id: str) -> int | None:
        """The next shard that has work; None: there is none any more."""
        column = batches.c
        runs = (
            sa.update(batches)
            .where(column.id == batch_id, column.status.in_(UNFINISHED))
            .values(
                status="running",
                started_at=sa.func.coalesce(
                    column.started_at, sa.literal(datetime.now(UTC), UtcTime)
                ),
            )
            .returning(column.next_shard)
        )

        def unit(connection: sa.Connection) -> int | None:
            first = connection.execute(runs).scalar()
            if first is None:
                return None
            number = connection.execute(
                sa.select(sa.func.min(batch_shards.c.number)).where(
                    batch_shards.c.batch_id == batch_id,
                    batch_shards.c.number >= first,
                    batch_shards.c.left > 0,
                )
            ).scalar()
            if number is not None:
                given_out = sa.update(batches).where(column.id == batch_id)
                connection.execute(given_out.values(next_shard=number + 1))
            return number

        return await self._database.write(unit)

    async def retry_failed(self, batch_id: str) -> int:
        """Forget the results of items that failed, so that they are classified again; returns how
        many. The batch must be over, or it would be counted twice."""

        def unit(connection: sa.Connection) -> int:
            again = (
                sa.update(batches)
                .where(batches.c.id == batch_id, batches.c.status.in_(OVER))
                .values(failed=0, status="queued", reason=None, completed_at=None, next_shard=0)
                .returning(batches.c.shard_size)
            )
            size = connection.execute(again).scalar()
            return 0 if size is None else _forget_failed(connection, batch_id, size)

        return await self._database.write(unit)

    async def change_lane(self, batch_id: str, lane: str) -> None:
        change = sa.update(batches).where(batches.c.id == batch_id).values(lane=lane)
        await self._database.write(lambda each: _run(each, change))

    async def begin_shard(self, batch_id: str, number: int) -> int:
        """Fences off whoever else works on it; returns the attempt, by which it is one's own."""
        change = (
            sa.update(batch_shards)
            .where(batch_shards.c.batch_id == batch_id, batch_shards.c.number == number)
            .values(attempt=batch_shards.c.attempt + 1)
            .returning(batch_shards.c.attempt)
        )

        def unit(connection: sa.Connection) -> int:
            return int(connection.execute(change).scalar() or 0)

        return await self._database.write(unit)

    async def waiting_items(self, batch: BatchRow, shard: int) -> list[BatchItem]:
        first = shard * batch.shard_size
        query = (
            sa.select(batch_items)
            .where(
                batch_items.c.batch_id == batch.id,
                batch_items.c.number >= first,
                batch_items.c.number < first + batch.shard_size,
                batch_items.c.state == "waiting",
                batch_items.c.same_as.is_(None),
            )
            .order_by(batch_items.c.number)
        )

        def unit(connection: sa.Connection) -> list[BatchItem]:
            return [_item(row) for row in connection.execute(query).mappings()]

        return await self._database.read(unit)

    async def commit(
        self, batch: BatchRow, shard: int, attempt: int, outcomes: Sequence[Outcome]
    ) -> BatchStatus | None:
        """Results and progress, together. Returns the batch's status after it; None: somebody else
        has the shard now, and nothing was stored."""

        def unit(connection: sa.Connection) -> BatchStatus | None:
            done = [each for each in outcomes if not each.again]
            mine = (
                sa.update(batch_shards)
                .where(
                    batch_shards.c.batch_id == batch.id,
                    batch_shards.c.number == shard,
                    batch_shards.c.attempt == attempt,
                )
                .values(left=batch_shards.c.left - len(done))
            )
            if not _run(connection, mine):
                return None
            stored = _store(connection, batch.id, done)
            again = [each.item.number for each in outcomes if each.again]
            if again:
                connection.execute(
                    sa.update(batch_items)
                    .where(batch_items.c.batch_id == batch.id, batch_items.c.number.in_(again))
                    .values(attempts=batch_items.c.attempts + 1)
                )
            return _advance(connection, batch, stored, [each.result for each in outcomes])

        return await self._database.write(unit)


def _run(connection: sa.Connection, statement: Any) -> int:
    return int(connection.execute(statement).rowcount)


def _forget(connection: sa.Connection, which: sa.ColumnElement[bool]) -> int:
    gone = sa.select(batches.c.id).where(which)
    for table in (batch_items, batch_errors, batch_shards):
        connection.execute(sa.delete(table).where(table.c.batch_id.in_(gone)))
    return _run(connection, sa.delete(batches).where(which))


def _item_row(batch_id: str, item: BatchItem) -> dict[str, Any]:
    return {
        "batch_id": batch_id,
        "number": item.number,
        "item_id": item.item_id,
        "source": item.source,
        "expected": item.expected,
        "metadata": item.metadata,
        "state": item.state,
    }


def _item(row: sa.RowMapping) -> BatchItem:
    values = dict(row)
    del values["batch_id"]
    return BatchItem(**values)


def _find_duplicates(connection: sa.Connection, batch_id: str) -> None:
    first = (
        sa.select(batch_items.c.source, sa.func.min(batch_items.c.number).label("number"))
        .where(batch_items.c.batch_id == batch_id)
        .group_by(batch_items.c.source)
        .having(sa.func.count() > 1)
        .subquery()
    )
    change = (
        sa.update(batch_items)
        .where(
            batch_items.c.batch_id == batch_id,
            batch_items.c.source == first.c.source,
            batch_items.c.number > first.c.number,
        )
        .values(same_as=first.c.number)
    )
    connection.execute(change)


def _cut_shards(connection: sa.Connection, batch_id: str) -> None:
    of_batch = batch_items.c.batch_id == batch_id
    size = connection.execute(
        sa.select(batches.c.shard_size).where(batches.c.id == batch_id)
    ).scalar_one()
    twin = sa.case((batch_items.c.same_as.is_(None), 0), else_=1)
    shard = (batch_items.c.number // size).label("shard")
    shards = (
        sa.select(sa.literal(batch_id), shard, sa.literal(0), sa.func.sum(1 - twin))
        .where(of_batch)
        .group_by(shard)
    )
    connection.execute(
        sa.insert(batch_shards).from_select(["batch_id", "number", "attempt", "left"], shards)
    )
    counted = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(twin), 0)).where(of_batch)
    total, duplicates = connection.execute(counted).one()
    errors = sa.select(sa.func.count()).where(batch_errors.c.batch_id == batch_id)
    connection.execute(
        sa.update(batches)
        .where(batches.c.id == batch_id)
        .values(
            total=total,
            duplicates=duplicates,
            bad_rows=connection.execute(errors).scalar_one(),
            status="queued" if total else "completed",
            completed_at=None if total else datetime.now(UTC),
        )
    )


def _store(
    connection: sa.Connection, batch_id: str, outcomes: Sequence[Outcome]
) -> list[tuple[BatchItem, Result]]:
    """Results of items, and of those that are about the same pictures."""
    stored = [(each.item, each.result) for each in outcomes]
    for each in outcomes:
        if each.beside is not None:
            each.beside(connection)
    originals = {item.number: result for item, result in stored}
    twins = sa.select(batch_items).where(
        batch_items.c.batch_id == batch_id, batch_items.c.same_as.in_(list(originals))
    )
    for twin in connection.execute(twins).mappings():
        item = _item(twin)
        stored.append((item, _twin_of(originals[item.same_as or 0], item)))
    if stored:
        rows = [row_of(result) for _, result in stored]
        connection.execute(sa.insert(results), rows)
        for values in rows:
            link_similar(connection, values)
        connection.execute(
            _DONE,
            [{"of": batch_id, "this": item.number, "result": result.id} for item, result in stored],
        )
    return stored


_DONE = (
    sa.update(batch_items)
    .where(
        batch_items.c.batch_id == sa.bindparam("of"), batch_items.c.number == sa.bindparam("this")
    )
    .values(state="done", result_id=sa.bindparam("result"))
)


def _twin_of(result: Result, item: BatchItem) -> Result:
    """The same answer for another item; nothing was paid for it."""
    usage = Usage(prompt_tokens=0, completion_tokens=0, cost_usd=Decimal(0))
    return result.model_copy(
        update={
            "id": new_id(RESULT),
            "cached": result.status != "failed",
            "usage": result.usage and usage,
            "expected": item.expected,
            "metadata": item.metadata,
        }
    )


def _advance(
    connection: sa.Connection,
    batch: BatchRow,
    stored: Sequence[tuple[BatchItem, Result]],
    paid: Sequence[Result],
) -> BatchStatus:
    """Count what was stored and what was paid; who stores the last one ends the batch."""
    column, outcomes = batches.c, [result for _, result in stored]
    known = [each for each in outcomes if each.expected is not None and each.status != "failed"]
    used = [each.usage for each in paid if each.usage is not None]
    added: dict[str, Any] = {
        "accepted": sum(each.status == "accepted" for each in outcomes),
        "needs_review": sum(each.status == "needs_review" for each in outcomes),
        "failed": sum(each.status == "failed" for each in outcomes),
        "expected": len(known),
        "correct": sum(each.expected == each.predicted_class for each in known),
        "prompt_tokens": sum(each.prompt_tokens for each in used),
        "completion_tokens": sum(each.completion_tokens for each in used),
        "cost_usd": sum((each.cost_usd or Decimal(0) for each in used), Decimal(0)),
    }
    change = (
        sa.update(batches)
        .where(column.id == batch.id)
        .values({name: column[name] + amount for name, amount in added.items()})
        .returning(column.status, column.total, column.accepted, column.needs_review, column.failed)
    )
    status, total, accepted, needs_review, failed = connection.execute(change).one()
    ended: BatchStatus | None = None
    if batch.on_error == "stop" and failed and status in UNFINISHED:
        ended = "failed"
    elif accepted + needs_review + failed == total and status not in OVER:
        ended = "completed"
    if ended is not None:
        reason = "An item failed." if ended == "failed" else None
        end = sa.update(batches).where(column.id == batch.id)
        now = datetime.now(UTC)
        connection.execute(end.values(status=ended, reason=reason, completed_at=now))
    current: BatchStatus = ended or status
    return current


def _forget_failed(connection: sa.Connection, batch_id: str, shard_size: int) -> int:
    failed = (
        sa.select(results.c.id)
        .join(batch_items, batch_items.c.result_id == results.c.id)
        .where(batch_items.c.batch_id == batch_id, results.c.status == "failed")
    )
    ids = list(connection.execute(failed).scalars())
    reset = (
        sa.update(batch_items)
        .where(batch_items.c.batch_id == batch_id, batch_items.c.result_id.in_(failed))
        .values(state="waiting", attempts=0, result_id=None)
    )
    connection.execute(reset)
    for first in range(0, len(ids), AT_ONCE):
        some = ids[first : first + AT_ONCE]
        connection.execute(sa.delete(results).where(results.c.id.in_(some)))
    waiting = (
        sa.select(sa.func.count())
        .where(
            batch_items.c.batch_id == batch_id,
            batch_items.c.state == "waiting",
            batch_items.c.same_as.is_(None),
            batch_items.c.number // shard_size == batch_shards.c.number,
        )
        .scalar_subquery()
    )
    connection.execute(
        sa.update(batch_shards).where(batch_shards.c.batch_id == batch_id).values(left=waiting)
    )
    return len(ids)
