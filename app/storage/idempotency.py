"""Idempotency keys: which request was answered with which result. All SQL about them is here."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # what SQLite speaks, too

from app.errors import IdempotencyKeyReused
from app.identifiers import EVENT
from app.result import ANSWERED
from app.storage.database import Database
from app.storage.tables import accepted, batches, idempotency_keys, results

KEPT_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Claim:
    """A key's first use."""

    fingerprint: str
    result_id: str

    def check_same(self, other: "Claim") -> None:
        """Raises IdempotencyKeyReused when they are of different requests."""
        if self.fingerprint != other.fingerprint:
            raise IdempotencyKeyReused("This Idempotency-Key belongs to another request.")


def take_key(connection: sa.Connection, caller: str, key: str, claim: Claim) -> Claim:
    """Within a transaction: the key is taken, or whose it is already is returned."""
    now = datetime.now(UTC)
    forgotten = idempotency_keys.c.created_at < now - KEPT_FOR
    connection.execute(sa.delete(idempotency_keys).where(forgotten))
    row = {
        "caller": caller,
        "key": key,
        "fingerprint": claim.fingerprint,
        "result_id": claim.result_id,
        "created_at": now,
    }
    return Claim(*connection.execute(_TAKE, row).one())


class IdempotencyRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, caller: str, key: str, claim: Claim) -> Claim:
        """Take the key for a request, or return the claim that has it already. Raises
        IdempotencyKeyReused when that is another request's."""
        found = await self._database.write(lambda each: take_key(each, caller, key, claim))
        found.check_same(claim)
        return found

    async def release(self, caller: str, key: str, claim: Claim) -> None:
        """End a claim: its request has no answer that could be given again."""
        mine = {"caller": caller, "key": key, "result_id": claim.result_id}

        def unit(connection: sa.Connection) -> None:
            connection.execute(sa.delete(idempotency_keys).filter_by(**mine))

        await self._database.write(unit)

    async def release_unanswered(self, *, older_than_s: float) -> None:
        """Free the keys of requests that a process did not finish, and nobody will."""
        claimed = idempotency_keys.c.result_id
        # By their primary keys, for each claim: results may be millions.
        answered = sa.exists().where(results.c.id == claimed, results.c.status.in_(ANSWERED))
        until = datetime.now(UTC) - timedelta(seconds=older_than_s)
        change = sa.delete(idempotency_keys).where(
            idempotency_keys.c.created_at <= until,
            # An event is told in the transaction that takes its key.
            ~claimed.startswith(f"{EVENT}_", autoescape=True),
            ~answered,
            ~sa.exists().where(accepted.c.result_id == claimed),
            ~sa.exists().where(batches.c.id == claimed),
        )

        def unit(connection: sa.Connection) -> None:
            connection.execute(change)

        await self._database.write(unit)


_NEW = insert(idempotency_keys)
_TAKE = _NEW.on_conflict_do_update(
    index_elements=[idempotency_keys.c.caller, idempotency_keys.c.key],
    set_={"key": _NEW.excluded.key},  # changes nothing, and so returns the claim that is there
).returning(idempotency_keys.c.fingerprint, idempotency_keys.c.result_id)
