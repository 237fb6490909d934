"""One quota for all processes, kept in Redis; each falls back to its share when Redis is gone."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from app.identifiers import new_id
from app.traffic.quota import Amounts, Quota, Reservation
from app.traffic.window import Window

log = structlog.stdlib.get_logger(__name__)

ANSWER_S = 0.25
"""Redis answers within it, or counts as gone."""

RETRY_S = 1.0
"""Between attempts to reach it again."""

TOLD = "classifier:told"
"""Key of the names of the processes that tell something; each tells it under its own."""

_FOLDER = Path(__file__).parent
RESERVE = (_FOLDER / "reserve.lua").read_text(encoding="utf-8")
GIVE_BACK = (_FOLDER / "give_back.lua").read_text(encoding="utf-8")


class RedisLink:
    """The connection, whether it works, and how many processes share it."""

    def __init__(self, url: str) -> None:
        # Only who shares a quota pays for the import.
        from redis.asyncio import Redis
        from redis.exceptions import RedisError

        self._redis = Redis.from_url(
            url,
            socket_timeout=ANSWER_S,
            socket_connect_timeout=ANSWER_S,
            retry=None,
            decode_responses=True,
        )
        self._gone = (RedisError, OSError, TimeoutError)
        self.process = new_id("prc")
        self.processes = 1
        self.connected = True
        self.settled_at = float("-inf")
        """When all are back after Redis was gone: none waits longer to try."""
        self._reserve = self._redis.register_script(RESERVE)
        self._give_back = self._redis.register_script(GIVE_BACK)
        self._again_at = float("-inf")
        self._running: set[asyncio.Task[None]] = set()

    async def reserve(self, now: float, keys: list[str], arguments: list[Any]) -> list[int] | None:
        """The script's answer; None when Redis is gone."""
        if now < self._again_at:
            return None
        try:
            async with asyncio.timeout(ANSWER_S):
                await asyncio.gather(*self._running)  # what is given back is there to be had
                reply: list[int] = await self._reserve(keys=keys, args=arguments)
        except self._gone as error:
            self._lost(now, error)
            return None
        if not self.connected:
            log.info("Redis is back: the quota is shared again")
            self.settled_at = now + 2 * RETRY_S
        self.connected = True
        if now >= self.settled_at:
            self.processes = max(1, reply[2])
        return reply

    def give_back(self, keys: list[str], arguments: list[Any]) -> None:
        """In the background: what is not given back ends with its window."""
        task = asyncio.create_task(self._quietly(self._give_back(keys=keys, args=arguments)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def tell(self, text: bytes, *, lasts_s: float) -> None:
        """Let other processes read `text`, for so long. Nothing happens while Redis is gone."""
        async with self._redis.pipeline(transaction=True) as commands:
            commands.set(f"{TOLD}:{self.process}", text, px=round(lasts_s * 1000))
            commands.sadd(TOLD, self.process)
            await self._quietly(commands.execute())

    async def told_by_others(self) -> list[str]:
        """What other processes let read; nothing while Redis is gone."""
        with suppress(*self._gone):
            async with asyncio.timeout(ANSWER_S):
                names = set(map(str, await self._redis.smembers(TOLD)))
                others = sorted(names - {self.process})
                texts = await self._redis.mget([f"{TOLD}:{each}" for each in others])
                told = dict(zip(others, texts, strict=True))
                if silent := [name for name, text in told.items() if text is None]:
                    await self._redis.srem(TOLD, *silent)
            return [str(text) for text in told.values() if text is not None]
        return []

    async def ping(self) -> None:
        """Raises what the client raises when Redis is gone."""
        async with asyncio.timeout(ANSWER_S):
            await self._redis.ping()

    async def aclose(self) -> None:
        await asyncio.gather(*self._running)
        await self._redis.aclose()

    async def _quietly(self, work: Awaitable[Any]) -> None:
        with suppress(*self._gone):
            async with asyncio.timeout(ANSWER_S):
                await work

    def _lost(self, now: float, error: Exception) -> None:
        self._again_at = now + RETRY_S
        if self.connected:
            log.error(
                "Redis is gone: each process keeps to its share of the quota",
                reason=type(error).__name__,
                processes=self.processes,
            )
        self.connected = False


class SharedQuota(Quota):
    """Counts in Redis, with its clock. What is taken here is counted here as well: for the times
    when Redis is gone, and to tell what others, who share no Redis with us, take."""

    is_shared = True

    def __init__(self, windows: Mapping[str, Window], link: RedisLink, name: str) -> None:
        """`name` is the deployment's: who names the same one shares it."""
        super().__init__(windows)
        self._link = link
        prefix = f"{{classifier:quota:{name}}}"
        self._keys = [f"{prefix}:state", f"{prefix}:processes"]
        for dimension in windows:
            self._keys += [f"{prefix}:{dimension}", f"{prefix}:{dimension}:minute"]
        self._alone: deque[Reservation] = deque()
        self._left: dict[str, float] = {}
        self._own: dict[str, float] = {}

    async def try_reserve(
        self, now: float, amounts: Amounts, *, burst_s: float
    ) -> Reservation | float:
        together = now >= self._link.settled_at
        self._share(1.0 if together else 1 / self._link.processes)
        if not together and (at := self.free_at(now, amounts, burst_s=burst_s)) > now:
            return at
        reservation_id = new_id("res")
        reply = await self._link.reserve(
            now, self._keys, self._asked(reservation_id, now, amounts, burst_s)
        )
        if reply is None:
            return await self._reserve_alone(now, amounts, burst_s)
        self._alone.clear()
        granted, wait_us, _, *counted = reply
        self._left = dict(zip(self.windows, counted[1::2], strict=True))
        if not granted:
            return now + max(1, wait_us) / 1e6
        reservation = self.reserve(now, amounts)
        self._own = dict(zip(self.windows, map(float, counted[::2]), strict=True))
        reservation.own = self._own
        reservation.shared_id = reservation_id
        return reservation

    def _asked(
        self, reservation_id: str, now: float, amounts: Amounts, burst_s: float
    ) -> list[Any]:
        """The script's arguments."""
        arguments: list[Any] = [
            reservation_id,
            self._link.process,
            burst_s,
            max(0.0, self.paused_until - now),
        ]
        for name, window in self.windows.items():
            taken_alone = sum(
                each.entries[name].amount for each in self._alone if each.at + window.held_s > now
            )
            cap = window.cap(now) / window.share
            arguments += [amounts[name], cap, window.held_s, taken_alone, int(not window.assumes)]
        return arguments

    async def _reserve_alone(
        self, now: float, amounts: Amounts, burst_s: float
    ) -> Reservation | float:
        self._share(1 / self._link.processes)
        got = await super().try_reserve(now, amounts, burst_s=burst_s)
        if isinstance(got, Reservation):
            self._alone.append(got)
            longest_s = max(each.held_s for each in self.windows.values())
            while self._alone[0].at + longest_s <= now:
                self._alone.popleft()
        return got

    def give_back(self, reservation: Reservation) -> None:
        amounts = [entry.amount for entry in reservation.entries.values()]
        super().give_back(reservation)
        if reservation.shared_id is not None:
            keys = [self._keys[0], *self._keys[2:]]
            self._link.give_back(keys, [reservation.shared_id, *amounts])

    def left(self, now: float, name: str) -> float:
        if self._link.connected and name in self._left:
            return self._left[name]
        return super().left(now, name)

    def _times_own(self, now: float, name: str) -> float:
        own = self.windows[name].own_in_minute(now)
        return max(1.0, self._own.get(name, 0.0) / own) if own and self._link.connected else 1.0

    def _share(self, share: float) -> None:
        for window in self.windows.values():
            window.share = share
