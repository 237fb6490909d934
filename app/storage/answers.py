"""Providers' answers, kept for reuse. All SQL for them is here."""

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

import sqlalchemy as sa
from pydantic import BaseModel, ValidationError

from app.result import ImageFacts
from app.storage.database import Database, Unit
from app.storage.putting import putting
from app.storage.tables import answers

NEWEST = 200
"""Answers read at startup to learn which models have been replaced."""

AHEAD_S, AHEAD_SHARED_S = 60.0, 3.0
"""Seconds for which a key that was not found counts as absent, unless it is stored here; shorter
where other processes may have stored it."""

EVICT_EVERY = 500
"""Answers stored between two evictions of those that are too old or too many."""


class KeptAnswer(BaseModel):
    """A provider's answer and the picture it is about; each verdict is computed anew from it.

    Attributes:
        contradicted: an earlier provider in the cascade, not sure enough, named another class.
        cost_usd: what it cost; None: nothing, or the price is not known.
    """

    provider: str
    model: str
    deployment: str | None
    label: str | None
    probabilities: dict[str, float]
    confidence_source: Literal["logprobs", "votes", "stated", "local"]
    image: ImageFacts
    tail: float = 0.0
    out_of_domain: bool = False
    revision: str = ""
    contradicted: bool = False
    is_billed: bool = False
    cost_usd: Decimal | None = None


class AnswerRepository:
    """Bounded by age and number; the oldest are evicted first."""

    def __init__(
        self,
        database: Database,
        *,
        ttl_s: float,
        max_entries: int,
        clock: Callable[[], datetime],
        shared: bool = False,
    ) -> None:
        """`shared`: other processes store answers, too."""
        self._database = database
        self._clock = clock
        self._ttl = timedelta(seconds=ttl_s)
        self._max_entries = max_entries
        self._kept = 0
        self._ahead_s = AHEAD_SHARED_S if shared else AHEAD_S
        self._absent: dict[str, float] = {}
        self._models: dict[tuple[str, str | None], str] = {}

    @property
    def enabled(self) -> bool:
        return self._ttl > timedelta(0)

    async def load_models(self) -> None:
        """Learn from the newest answers which model was last behind each deployment."""
        query = sa.select(answers.c.answer).order_by(answers.c.created_at.desc()).limit(NEWEST)
        for text in await self._database.scalars(query):
            with suppress(ValidationError):
                kept = KeptAnswer.model_validate_json(text)
                self._models.setdefault((kept.provider, kept.deployment), kept.model)

    async def look_ahead(self, keys: Collection[str]) -> int:
        """Check many keys in one query; returns how many are present. The next `get` of an absent
        key, if soon, skips the database."""
        query = sa.select(answers.c.key).where(answers.c.key.in_(keys))
        found = set(await self._database.scalars(query))
        now = time.monotonic()
        self._absent = {key: at for key, at in self._absent.items() if at > now}
        self._absent |= dict.fromkeys(set(keys) - found, now + self._ahead_s)
        return len(found)

    async def get(self, key: str) -> KeptAnswer | None:
        """None if it is absent, too old, in the format of another version, or of a model that has
        since been replaced behind its deployment."""
        if self._absent.pop(key, 0.0) > time.monotonic():
            return None
        wanted = {"wanted": key, "oldest": self._clock() - self._ttl}
        text = await self._database.scalar(_GET, wanted)
        if text is None:
            return None
        try:
            kept = KeptAnswer.model_validate_json(text)
        except ValidationError:
            return None
        newest = self._models.get((kept.provider, kept.deployment), kept.model)
        return kept if kept.model == newest else None

    def keeping(self, answers: Mapping[str, KeptAnswer]) -> Unit[None] | None:
        """Store answers by key, in the transaction of the results that they were paid for; None
        when there is nothing to write."""
        if not (answers and self.enabled):
            return None
        now = self._clock()
        rows = [
            {
                "key": key,
                "answer": each.model_dump_json(),
                "created_at": now,
                "picture": each.image.sha256,
            }
            for key, each in answers.items()
        ]
        for key, each in answers.items():
            self._models[each.provider, each.deployment] = each.model
            self._absent.pop(key, None)
        self._kept += len(rows)
        evicts = self._kept >= EVICT_EVERY
        if evicts:
            self._kept = 0

        def unit(connection: sa.Connection) -> None:
            connection.execute(_KEEP, rows)
            if evicts:
                self._evict(connection)

        return unit

    def _evict(self, connection: sa.Connection) -> None:
        oldest = self._clock() - self._ttl
        newest_too_many = (
            sa.select(answers.c.created_at)
            .order_by(answers.c.created_at.desc())
            .offset(self._max_entries)
            .limit(1)
        )
        last = connection.execute(newest_too_many).scalar()
        connection.execute(
            sa.delete(answers).where(answers.c.created_at <= max(oldest, last or oldest))
        )


_GET = sa.select(answers.c.answer).where(
    answers.c.key == sa.bindparam("wanted"), answers.c.created_at > sa.bindparam("oldest")
)
_KEEP = putting(answers)
