"""Faults injected into the environment, at moments that a seed determines."""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from tests.service import RunningService
from tests.soak.outages import Outages
from tests.soak.world import World

RESTARTED_AFTER_S = 0.5

KILLED_UNTIL = 0.4
"""The share of the time during which a sole process is killed; after that it must prove that it
does not grow."""

SHARED_EVERY = 2
"""Shared servers fail this many times less often than others: without them little work is done."""

DEATHS = ("SIGTERM", "SIGKILL")
"""Of Azure: when nothing is under way, and amid all that is."""

FAULTS = {
    "limited": {"kind": "capacity_429", "share": 1.0},
    "failing": {"kind": "error_500", "share": 0.7},
    "resets": {"kind": "reset", "share": 0.08},
    "silent": {"kind": "silence", "share": 0.04},
}


class Server(Protocol):
    def kill(self) -> None: ...

    def start(self) -> None: ...


class Misfortunes:
    """Faults of one kind follow each other; different kinds run independently and may coincide."""

    def __init__(
        self, world: World, outages: Outages, *, seed: int, seconds: float, every_s: float
    ) -> None:
        """`every_s`: the mean time between the end of one fault and the next of its kind."""
        self._world = world
        self._outages = outages
        self._seed = seed
        self._began = time.time()
        self._seconds = seconds
        self._every_s = every_s

    async def happen(self) -> None:
        """Inject faults until the time is over; afterwards everything is in order again."""
        async with asyncio.TaskGroup() as group:
            for one in (self._process, self._azure, self._receiver):
                group.create_task(self._again_and_again(one, self._every_s))
            if self._world.shared:
                for one in (self._redis, self._postgres):
                    group.create_task(self._again_and_again(one, SHARED_EVERY * self._every_s))

    async def _again_and_again(
        self, one: Callable[[random.Random], Awaitable[None]], every_s: float
    ) -> None:
        moments = random.Random(f"{self._seed} {one.__name__}")
        while True:
            await asyncio.sleep(every_s * moments.uniform(0.2, 1.8))
            if self._passed() >= 1:
                return
            await one(moments)

    def _passed(self) -> float:
        """The share of the time that has passed."""
        return (time.time() - self._began) / self._seconds

    def _mortal(self) -> list[str]:
        """Every second one of several; a sole process only during the first part."""
        if self._world.shared:
            return list(self._world.processes)[1::2]
        return list(self._world.processes) if self._passed() < KILLED_UNTIL else []

    async def _process(self, moments: random.Random) -> None:
        if mortal := self._mortal():
            name, how = moments.choice(mortal), moments.choice([signal.SIGKILL, signal.SIGTERM])
            process = self._world.processes[name]
            with self._outages.note(name, how.name):
                await asyncio.to_thread(process.stop, how)
                await _started(process)

    async def _redis(self, moments: random.Random) -> None:
        assert self._world.shared
        await self._server("redis", self._world.shared.redis, moments.uniform(0.5, 5))

    async def _postgres(self, moments: random.Random) -> None:
        assert self._world.shared
        await self._server("postgres", self._world.shared.postgres, moments.uniform(0.5, 5))

    async def _server(self, name: str, server: Server, lasts_s: float) -> None:
        with self._outages.note(name, "SIGKILL"):
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(lasts_s)
            await asyncio.to_thread(server.start)

    async def _azure(self, moments: random.Random) -> None:
        azure, lasts_s = self._world.azure, moments.uniform(1, 6)
        how = moments.choice([*DEATHS, "down", *FAULTS])
        with self._outages.note("azure", how):
            if how in DEATHS:
                await asyncio.to_thread(azure.kill if how == "SIGKILL" else azure.go)
                await asyncio.sleep(lasts_s)
                await asyncio.to_thread(azure.start)
            else:
                wrong, right = {"down": True}, {"down": False}
                if how in FAULTS:
                    wrong, right = {"faults": [FAULTS[how]]}, {"faults": []}
                await asyncio.to_thread(azure.misbehave, **wrong)
                await asyncio.sleep(lasts_s)
                await asyncio.to_thread(azure.misbehave, **right)

    async def _receiver(self, moments: random.Random) -> None:
        how, lasts_s = moments.choice(["down", "slow", "failing"]), moments.uniform(1, 6)
        with self._outages.note("receiver", how):
            await asyncio.to_thread(self._world.shaky.be, how, lasts_s)
            await asyncio.sleep(lasts_s)


async def _started(process: RunningService) -> None:
    """Retry the start, as a container supervisor does: a process can't start without a database,
    which may be down just then."""
    while True:
        try:
            return await asyncio.to_thread(process.start)
        except RuntimeError:
            await asyncio.sleep(RESTARTED_AFTER_S)
