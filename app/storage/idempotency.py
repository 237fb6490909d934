"""Idempotency keys: which request was answered with which result. All SQL for them is here."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports it, too

from app.errors import IdempotencyKeyReused
from app.identifiers import EVENT
from app.result import ANSWERED
from app.storage.batch_rows import HIDDEN
from app.storage.database import Database
from app.storage.tables import accepted, batches, idempotency_keys, results

KEPT_FOR = timedelta(hours=24)

HELD_FOR = timedelta(seconds=30)
"""If the process does not renew a request's key for this long, the next request may take it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A key's first use."""

    fingerprint: str
    result_id: str

    def check_same(self, other: "Claim") -> None:
        """Raises IdempotencyKeyReused when they are of different requests."""
        if self.fingerprint != other.fingerprint:
            raise IdempotencyKeyReused("This Idempotency-Key belongs to another request.")


def take_key(
    connection: sa.Connection, caller: str, key: str, claim: Claim, now: datetime
) -> Claim:
    """Within a transaction: take the key, or return the claim that already holds it."""
    mine = {"caller": caller, "key": key}
    forgotten = idempotency_keys.c.created_at < now - KEPT_FOR
    connection.execute(sa.delete(idempotency_keys).where(forgotten))
    row = mine | {
        "fingerprint": claim.fingerprint,
        "result_id": claim.result_id,
        "created_at": now,
    }
    *found, held_at = connection.execute(_TAKE, row).one()
    earlier = Claim(*found)
    if earlier.fingerprint != claim.fingerprint or held_at > now - HELD_FOR:
        return earlier
    taken = sa.update(idempotency_keys).filter_by(**mine, result_id=earlier.result_id)
    taken = taken.where(*_NOTHING_IS_THERE).values(row)
    return claim if connection.execute(taken).rowcount else earlier


class IdempotencyRepository:
    def __init__(self, database: Database, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._held: set[str] = set()

    async def claim(self, caller: str, key: str, claim: Claim) -> Claim:
        """Take the key for a request, or return the claim that already holds it. Raises
        IdempotencyKeyReused when that claim is of a different request."""
        now = self._clock()
        found = await self._database.write(lambda each: take_key(each, caller, key, claim, now))
        found.check_same(claim)
        return found

    @contextmanager
    def holding(self, claim: Claim) -> Iterator[None]:
        """Keeps the key renewed while this process works on its request."""
        self._held.add(claim.result_id)
        try:
            yield
        finally:
            self._held.discard(claim.result_id)

    async def renew(self) -> None:
        """Renew all held keys; to be called several times within HELD_FOR."""
        if not self._held:
            return
        held = idempotency_keys.c.result_id.in_(list(self._held))
        change = sa.update(idempotency_keys).where(held).values(created_at=self._clock())
        await self._database.change(change)

    async def release(self, caller: str, key: str, claim: Claim) -> None:
        """End the claim of a request without a reusable answer. The key stays if there is an answer
        after all, stored although the confirmation was lost."""
        mine = {"caller": caller, "key": key, "result_id": claim.result_id}
        change = sa.delete(idempotency_keys).filter_by(**mine).where(~_IS_BATCH, ~_IS_ANSWERED)
        await self._database.change(change)

    async def release_unanswered(self) -> None:
        """Free the keys of requests that a process did not finish and none will."""
        # A primary-key lookup for each claim: there may be millions of results.
        answered = sa.exists().where(results.c.id == _CLAIMED, results.c.status.in_(ANSWERED))
        change = sa.delete(idempotency_keys).where(
            idempotency_keys.c.created_at <= self._clock(),
            ~_IS_EVENT,
            ~answered,
            ~sa.exists().where(accepted.c.result_id == _CLAIMED),
            ~sa.exists().where(batches.c.id == _CLAIMED),
        )
        await self._database.change(change)


_CLAIMED = idempotency_keys.c.result_id
_IS_BATCH = sa.exists().where(batches.c.id == _CLAIMED, batches.c.status.not_in(HIDDEN))
_IS_ANSWERED = sa.exists().where(results.c.id == _CLAIMED, results.c.status != "failed")
_IS_EVENT = _CLAIMED.startswith(f"{EVENT}_", autoescape=True)
"""An event is published in the transaction that takes its key."""
_NOTHING_IS_THERE = (~_IS_BATCH, ~_IS_EVENT, ~sa.exists().where(results.c.id == _CLAIMED))

_NEW = insert(idempotency_keys)
_TAKE = _NEW.on_conflict_do_update(
    index_elements=[idempotency_keys.c.caller, idempotency_keys.c.key],
    set_={"key": _NEW.excluded.key},  # changes nothing, but returns the existing claim
).returning(
    idempotency_keys.c.fingerprint, idempotency_keys.c.result_id, idempotency_keys.c.created_at
)
