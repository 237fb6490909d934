"""What every process tells of its deployments, where all can read it."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

import structlog
from pydantic import TypeAdapter, ValidationError

from app.traffic.link import RedisLink
from app.traffic.state import ProviderState

log = structlog.stdlib.get_logger(__name__)

PUBLISHED_EVERY_S = 2.0

_STATES = TypeAdapter(list[ProviderState])


class Board:
    """Of this process alone without a `link`, or while Redis is gone."""

    def __init__(
        self, states: Callable[[], Iterable[ProviderState]], link: RedisLink | None
    ) -> None:
        self._states = states
        self._link = link
        self._publishing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Publish, until `aclose`."""
        if self._link is not None:
            self._publishing = asyncio.create_task(self._publish(self._link))

    async def read(self) -> list[ProviderState]:
        """What is known of all processes, this one's first."""
        own = list(self._states())
        others = await self._link.told_by_others() if self._link else []
        return [*own, *(each for text in others for each in _read(text))]

    async def aclose(self) -> None:
        if self._publishing is not None:
            self._publishing.cancel()
            with suppress(asyncio.CancelledError):
                await self._publishing

    async def _publish(self, link: RedisLink) -> None:
        while True:
            try:
                told = _STATES.dump_json(list(self._states()))
                await link.tell(told, lasts_s=5 * PUBLISHED_EVERY_S)
            except Exception:
                log.exception("the state of the deployments could not be told")
            await asyncio.sleep(PUBLISHED_EVERY_S)


def _read(text: str) -> list[ProviderState]:
    """Nothing of what another version tells in its own form."""
    try:
        return _STATES.validate_json(text)
    except ValidationError:
        return []
