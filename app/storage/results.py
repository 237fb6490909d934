"""Results in the database. All SQL for them is here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports it, too

from app.errors import ResultNotFound
from app.identifiers import RESULT, lowest_id
from app.result import Failure, Result, Status, Usage
from app.storage import similar
from app.storage.database import Database, Unit
from app.storage.events import result_created, result_reviewed
from app.storage.outbox import Outbox
from app.storage.review_queue import close_told, kind_of
from app.storage.review_rows import TOLD, source_of
from app.storage.seen_by import seen_by
from app.storage.tables import accepted, results
from app.storage.tallies import count_label, count_results
from app.storage.traces import erase_traces, is_erased


@dataclass(frozen=True, slots=True)
class ResultFilter:
    """Which results to select; None means all. `since` is inclusive, `until` exclusive; `labelled`:
    only those whose true class is known."""

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
    labelled: bool = False

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
        if self.labelled:
            conditions.append(column.expected.is_not(None))
        return conditions


MAX_SIMILAR = 1_000
"""Newest rows that `similar_to` considers for each band of a hash."""

_LABEL = (results.c.expected, results.c.expected_source)
_GIVEN = {each.name: sa.bindparam(f"of_{each.name}", type_=each.type) for each in results.c}
_INSERT = (
    insert(results)
    .from_select(
        list(_GIVEN),
        sa.select(*_GIVEN.values()).where(~is_erased(_GIVEN["caller"], _GIVEN["created_at"])),
    )
    .on_conflict_do_nothing()
    .returning(*_LABEL)
)
"""Safe to repeat when it is unknown whether it was committed."""
_IS_THERE = sa.select(sa.exists().where(results.c.id == sa.bindparam("this")))
_LINK = (
    sa.update(results)
    .where(results.c.id == sa.bindparam("this"))
    .values(similar_to=sa.bindparam("other"))
)


class ResultRepository:
    """`caller` None means an operator, who sees all rows; to other callers, only their own
    exist."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def insert(self, result: Result, beside: Unit[None] | None = None) -> Result:
        """Store a result, with `beside` in the same transaction; returns it as stored, linked to
        the most similar earlier one. Publishes an event unless it is pending."""
        row = row_of(result)

        def write(connection: sa.Connection) -> sa.Row[Any] | None:
            given = {f"of_{name}": value for name, value in row.items()}
            return connection.execute(_INSERT, given).first()

        stored, _ = await self._put(result, row, write, beside)  # or it was written before
        return stored

    async def complete(
        self,
        result: Result,
        beside: Unit[None] | None = None,
        *,
        callback_url: str | None = None,
    ) -> Result | None:
        """Write the outcome of a pending result, and publish it. None: the result was deleted
        meanwhile and stays deleted, or another process has answered it."""
        row = row_of(result)
        # A label that arrived meanwhile must not be overwritten by the outcome.
        del row["expected"], row["expected_source"]
        # If two processes answered it, because one was taken for dead, the first wins.
        change = (
            sa.update(results)
            .where(results.c.id == result.id, results.c.status == "pending")
            .values(row)
            .returning(*_LABEL)
        )

        def write(connection: sa.Connection) -> sa.Row[Any] | None:
            return connection.execute(change).first()

        stored, is_written = await self._put(result, row, write, beside, callback_url)
        return stored if is_written else None

    async def _put(
        self,
        result: Result,
        row: dict[str, Any],
        write: Unit[sa.Row[Any] | None],
        beside: Unit[None] | None,
        callback_url: str | None = None,
    ) -> tuple[Result, bool]:
        """`write` returns the label of the row, None: it wrote none. If the result was erased or
        deleted meanwhile, only its cost is kept."""
        telling = self._outbox.telling()

        def unit(connection: sa.Connection) -> tuple[Result, bool]:
            written = write(connection)
            if beside is not None:
                beside(connection)
            if written is None and not connection.execute(_IS_THERE, {"this": result.id}).scalar():
                pictures = [] if result.image is None else [result.image.sha256]
                erase_traces(connection, [result.id], pictures)
                return result, False
            found = link_similar(connection, row)
            known = {} if written is None else dict(written._mapping)
            stored = result.model_copy(update={"similar_to": found, **known})
            if written is not None and not stored.is_pending:
                count_results(connection, [stored])
                telling.tell(connection, result_created(stored, callback_url))
            return stored, written is not None

        found = await self._database.write(unit)
        telling.wake()
        return found

    async def get(self, result_id: str, *, caller: str | None) -> Result:
        """Raises ResultNotFound."""
        query = seen_by(caller, results, sa.select(results).where(results.c.id == result_id))
        row = await self._database.first(query)
        if row is None:
            raise no_result(result_id)
        return result_of(row)

    async def of_ids(self, ids: Sequence[str]) -> dict[str, Result]:
        """Existing ones, of any caller."""
        query = sa.select(results).where(results.c.id.in_(list(ids)))
        return {row["id"]: result_of(row) for row in await self._database.mappings(query)}

    async def page(self, wanted: ResultFilter, *, before: str | None, limit: int) -> list[Result]:
        """Newest first, at most `limit`, older than the id `before`. Raises ResultNotFound when the
        result they should be similar to does not exist."""
        conditions = await self.conditions(wanted)
        query = sa.select(results).where(*conditions).order_by(results.c.id.desc())
        if before is not None:
            query = query.where(results.c.id < before)
        return [result_of(row) for row in await self._database.mappings(query.limit(limit))]

    async def conditions(self, wanted: ResultFilter) -> list[sa.ColumnElement[bool]]:
        """For queries of the repositories. Raises ResultNotFound as `page` does."""
        conditions = wanted.conditions()
        if wanted.similar_to is not None:
            near = await self._similar(wanted.similar_to, caller=wanted.caller)
            conditions.append(results.c.id.in_(near))
        return conditions

    async def _similar(self, result_id: str, *, caller: str | None) -> list[str]:
        query = seen_by(caller, results, sa.select(results).where(results.c.id == result_id))

        def unit(connection: sa.Connection) -> list[str] | None:
            row = connection.execute(query).mappings().first()
            return None if row is None else similar.all_near(connection, row, MAX_SIMILAR)

        found = await self._database.read(unit)
        if found is None:
            raise no_result(result_id)
        return found

    async def set_expected(
        self, result_id: str, label: str, *, caller: str | None, teller: str
    ) -> Result:
        """Record the true class, learned after the answer. This decides an open review in the name
        of `teller`. Returns the result as it is now. Raises ResultNotFound."""
        this = seen_by(caller, results, sa.update(results).where(results.c.id == result_id))
        touched = this.values(expected=results.c.expected).returning(results)
        telling = self._outbox.telling()

        def unit(connection: sa.Connection) -> Result:
            row = connection.execute(touched).mappings().first()
            if row is None:
                raise no_result(result_id)
            before = result_of(row)
            kind = kind_of(connection, result_id)
            known = {"expected": label, "expected_source": source_of(kind, TOLD)}
            waited = close_told(connection, before, label, teller)
            if waited:
                known |= {"final_class": label, "decided_by": teller}
            connection.execute(this.values(known))
            after = before.model_copy(update=known)
            count_label(connection, before, after)
            if waited:
                telling.tell(connection, result_reviewed(after))
            return after

        labelled = await self._database.write(unit)
        telling.wake()
        return labelled

    async def fail_interrupted(self, reason: Failure) -> int:
        """Fail pending results that an earlier process left and that can't be resumed; returns how
        many there were."""
        change = (
            sa.update(results)
            .where(
                results.c.status == "pending",
                results.c.id.not_in(sa.select(accepted.c.result_id)),
            )
            .values(status="failed", error=reason.model_dump(), completed_at=datetime.now(UTC))
            .returning(results)
        )
        telling = self._outbox.telling()

        def unit(connection: sa.Connection) -> int:
            failed = [result_of(row) for row in connection.execute(change).mappings()]
            count_results(connection, failed)
            telling.tell(connection, *map(result_created, failed))
            return len(failed)

        count = await self._database.write(unit)
        telling.wake()
        return count


def no_result(result_id: str) -> ResultNotFound:
    return ResultNotFound(f"There is no result {result_id}.")


def link_similar(connection: sa.Connection, row: dict[str, Any]) -> str | None:
    """Link a new row to the earlier one with the most similar picture."""
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
