"""Events published by other programs, each once per Idempotency-Key."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from app.identifiers import EVENT, new_id
from app.storage.database import Database
from app.storage.events import Event
from app.storage.idempotency import Claim, take_key
from app.storage.outbox import Outbox


class PublishedRepository:
    def __init__(
        self, database: Database, outbox: Outbox, *, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock

    async def tell(self, event: Event, *, publisher: str, key: str | None) -> str:
        """Returns the event's id; if the publisher has used the key before, that of the first
        event. Raises IdempotencyKeyReused when that was a different event."""
        mine = Claim(fingerprint(event), new_id(EVENT))
        telling, now = self._outbox.telling(), self._clock()

        def unit(connection: sa.Connection) -> Claim:
            found = mine if key is None else take_key(connection, publisher, key, mine, now)
            if found == mine:
                telling.tell(connection, replace(event, id=mine.result_id))
            return found

        first = await self._database.write(unit)
        first.check_same(mine)
        telling.wake()
        return first.result_id


def fingerprint(event: Event) -> str:
    """SHA-256 over everything that makes two events the same."""
    said = [event.type, event.caller, event.domain, event.data().model_dump(mode="json")]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
