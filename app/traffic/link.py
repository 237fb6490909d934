"""The connection to Redis: whether it works, which processes share it, and what they publish."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from app.identifiers import PROCESS, new_id
from app.traffic import clock
from app.traffic.belief import MINUTE_S

log = structlog.stdlib.get_logger(__name__)

ANSWER_S = 0.25
"""Seconds within which Redis has to answer, or it counts as gone."""

CONNECT_S = 3.0
"""Seconds. A new connection may take longer: TLS, and a password."""

RETRY_S = 1.0
"""Seconds between attempts to reach it again."""

SETTLE_S = 2 * RETRY_S
"""Seconds after it is back: no other process that was cut off waits longer until it tries again."""

PROCESSES = "classifier:processes"
"""Key of the names of the processes that publish something; each does so under a key of its own."""

_FOLDER = Path(__file__).parent
RESERVE, GIVE_BACK, TELL = (
    (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    for name in ("reserve", "give_back", "tell")
)


class RedisLink:
    """A call that finds Redis gone does without; reconnecting is tried in the background."""

    def __init__(self, url: str, *, process: str | None = None, processes: int = 1) -> None:
        """`process` is the name by which others know this one; `processes` is how many share the
        quota, until Redis has told."""
        # Only a process that shares a quota pays for the import.
        from redis.asyncio import Redis
        from redis.exceptions import RedisError

        self._redis = Redis.from_url(
            url,
            socket_timeout=CONNECT_S,
            socket_connect_timeout=CONNECT_S,
            retry=None,
            decode_responses=True,
        )
        self._gone = (RedisError, OSError, TimeoutError)
        self.process = process or new_id(PROCESS)
        self.connected = False
        self.settled_at = float("-inf")
        """When all processes are back after Redis was gone."""
        self._expected = processes
        self._counted: deque[tuple[float, int]] = deque()
        self._reserve = self._redis.register_script(RESERVE)
        self._give_back = self._redis.register_script(GIVE_BACK)
        self._tell = self._redis.register_script(TELL)
        self._running: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None

    @property
    def processes(self) -> int:
        """How many processes share the quota: the most that published at once in the last
        minute."""
        return max((count for _, count in self._counted), default=self._expected)

    async def open(self) -> None:
        """Connect, or keep trying in the background."""
        try:
            await self.ping()
        except self._gone as error:
            self._lost(error)
        else:
            self.connected = True

    async def reserve(self, keys: list[str], asked: dict[str, Any]) -> dict[str, Any] | None:
        """The script's answer; None when Redis is gone."""
        if not self.connected:
            return None
        try:
            async with asyncio.timeout(ANSWER_S):
                if self._running:  # so that what is being given back can be had
                    await asyncio.wait(self._running)
                reply: str = await self._reserve(keys=keys, args=[json.dumps(asked)])
        except self._gone as error:
            self._lost(error)
            return None
        answer: dict[str, Any] = json.loads(reply)
        return answer

    def give_back(self, keys: list[str], arguments: list[Any]) -> None:
        """Give back in the background; what can't be given back ends with its window."""
        task = asyncio.create_task(self._quietly(self._give_back(keys=keys, args=arguments)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def tell(self, text: bytes, *, lasts_s: float) -> None:
        """Publish `text` to other processes for `lasts_s` seconds, and count them. Does nothing
        while Redis is gone."""
        if not self.connected:
            return
        arguments: list[Any] = [self.process, text, round(lasts_s * 1000)]
        try:
            async with asyncio.timeout(ANSWER_S):
                count: int = await self._tell(
                    keys=[PROCESSES, self._told(self.process)], args=arguments
                )
        except self._gone as error:
            self._lost(error)
            return
        now = clock.now()
        self._counted.append((now, count))
        while self._counted[0][0] < now - MINUTE_S:
            self._counted.popleft()

    async def told_by_others(self) -> dict[str, str]:
        """What other processes publish, by process; nothing while Redis is gone."""
        if not self.connected:
            return {}
        with suppress(*self._gone):
            async with asyncio.timeout(ANSWER_S):
                known = map(str, await self._redis.zrange(PROCESSES, 0, -1))
                names = sorted(each for each in known if each != self.process)
                texts = await self._redis.mget(map(self._told, names)) if names else []
            told = zip(names, texts, strict=True)
            return {name: str(text) for name, text in told if text is not None}
        return {}

    async def ping(self) -> None:
        """Raises what the client raises when Redis is gone."""
        async with asyncio.timeout(CONNECT_S):
            await self._redis.ping()

    async def aclose(self) -> None:
        """Sign off, so that the others need not wait to notice."""
        if self._looking is not None:
            self._looking.cancel()
        if self._running:
            await asyncio.wait(self._running)
        if self.connected:
            await self._quietly(self._redis.zrem(PROCESSES, self.process))
            await self._quietly(self._redis.delete(self._told(self.process)))
        await self._redis.aclose()

    def _told(self, process: str) -> str:
        return f"{PROCESSES}:{process}"

    async def _quietly(self, work: Awaitable[Any]) -> None:
        with suppress(*self._gone):
            async with asyncio.timeout(ANSWER_S):
                await work

    def _lost(self, error: BaseException) -> None:
        if self._looking is not None and not self._looking.done():
            return
        self.connected = False
        log.error(
            "Redis is gone: each process keeps to its share of the quota",
            reason=type(error).__name__,
            processes=self.processes,
        )
        self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while not self.connected:
            await asyncio.sleep(RETRY_S)
            with suppress(*self._gone):
                await self.ping()
                self.settled_at = clock.now() + SETTLE_S
                self.connected = True
        log.info("Redis is back: the quota is shared again")
