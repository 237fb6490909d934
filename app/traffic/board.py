"""Publishes the state of every process's deployments and its health, where all can read it: in
Redis, and in the database, as one process may have lost Redis while others have it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from pydantic import TypeAdapter, ValidationError

from app.errors import StorageUnavailable
from app.recurring import Recurring
from app.storage import BoardRepository
from app.traffic import clock
from app.traffic.link import RedisLink
from app.traffic.state import ProviderState

PUBLISHED_EVERY_S = 2.0
LASTS_S = 5 * PUBLISHED_EVERY_S

KEPT_EVERY_S = 10.0
"""Seconds between publications in the database, by a process that has Redis."""

KEPT_FOR = timedelta(seconds=30)
"""How long a state in the database counts: clocks of processes differ."""

WITHIN_S = PUBLISHED_EVERY_S
"""Seconds within which the database has to answer, or it is skipped: Redis has to be told in time
that the database is gone."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)

_STATES = TypeAdapter(list[ProviderState])


class Board:
    """Without a `link`, it covers this process only."""

    def __init__(
        self,
        states: Callable[[], Iterable[ProviderState]],
        link: RedisLink | None,
        checks: Callable[[], Mapping[str, bool]] = dict,
        kept: BoardRepository | None = None,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        """`checks`: whether each health check of this process passed. `kept`: where states are
        published as well; None: nowhere."""
        self._states = states
        self._checks = checks
        self._link = link
        self._kept = kept
        self._clock = clock
        self._kept_at = float("-inf")
        self._publishing = Recurring()

    def start(self) -> None:
        """Publish, until `aclose`."""
        if self._link is not None:
            tell = partial(self._tell, self._link)
            self._publishing.every(PUBLISHED_EVERY_S, "telling of deployments", tell)

    async def read(self) -> list[ProviderState]:
        """The known states of all processes, this one's first."""
        own = self._own()
        others = await self._told_by_others(self._link) if self._link else {}
        return [*own, *(each for process in sorted(others) for each in others[process])]

    async def _told_by_others(self, link: RedisLink) -> dict[str, list[ProviderState]]:
        """The newest states of each process."""
        newest: dict[str, list[ProviderState]] = {}
        for texts in await link.told_by_others(), await self._kept_of_others(link):
            for process, text in texts.items():
                told = _read(text)
                if _told_at(told) >= _told_at(newest.get(process, [])):
                    newest[process] = told
        return newest

    async def _kept_of_others(self, link: RedisLink) -> dict[str, str]:
        if self._kept is not None:
            with suppress(StorageUnavailable, TimeoutError):
                async with asyncio.timeout(WITHIN_S):
                    since = self._clock() - KEPT_FOR
                    return await self._kept.told_by_others(link.process, since)
        return {}

    async def _tell(self, link: RedisLink) -> None:
        now = self._clock()
        told = _STATES.dump_json([replace(each, told_at=now) for each in self._own()])
        await link.tell(told, lasts_s=LASTS_S)
        if self._kept is not None and self._is_to_be_kept(link):
            with suppress(StorageUnavailable, TimeoutError):
                async with asyncio.timeout(WITHIN_S):
                    await self._kept.tell(link.process, told.decode(), now)

    def _is_to_be_kept(self, link: RedisLink) -> bool:
        time = clock.now()
        if link.connected and time < self._kept_at + KEPT_EVERY_S:
            return False
        self._kept_at = time
        return True

    def _own(self) -> list[ProviderState]:
        checks = dict(self._checks())
        return [replace(each, checks=checks) for each in self._states()]

    async def aclose(self) -> None:
        await self._publishing.aclose()


def _read(text: str) -> list[ProviderState]:
    """Empty for what another version publishes in a form of its own."""
    try:
        return _STATES.validate_json(text)
    except ValidationError:
        return []


def _told_at(states: Iterable[ProviderState]) -> datetime:
    return max((each.told_at for each in states if each.told_at), default=_LONG_AGO)
