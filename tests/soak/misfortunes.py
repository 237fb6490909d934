"""What happens to the world, at moments that a seed draws."""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable

from tests.soak.outages import Outages
from tests.soak.world import World

KILLED_UNTIL = 0.4
"""Share of the time in which the only process dies; then it has to show that it does not grow."""

Deed = Callable[[], Awaitable[None]]

FAULTS = {
    "limited": {"kind": "capacity_429", "share": 1.0},
    "failing": {"kind": "error_500", "share": 0.7},
    "resets": {"kind": "reset", "share": 0.08},
    "silent": {"kind": "silence", "share": 0.04},
}


class Misfortunes:
    """Ours, Azure's and the receiver's, each when its time comes: they may meet."""

    def __init__(
        self, world: World, outages: Outages, *, seed: int, seconds: float, every_s: float
    ) -> None:
        """`every_s`: on average, between the end of one and the next of its kind."""
        self._world = world
        self._outages = outages
        self._seed = seed
        self._began = time.time()
        self._seconds = seconds
        self._every_s = every_s

    async def happen(self) -> None:
        """Until the time is over; then all is in order again."""
        await asyncio.gather(
            self._again_and_again("ours", self._ours),
            self._again_and_again("azure", self._azure),
            self._again_and_again("receiver", self._receiver),
        )

    async def _again_and_again(
        self, name: str, one: Callable[[random.Random], Awaitable[None]]
    ) -> None:
        moments = random.Random(f"{self._seed} {name}")
        while True:
            await asyncio.sleep(self._every_s * moments.uniform(0.2, 1.8))
            if self._passed() >= 1:
                return
            await one(moments)

    def _passed(self) -> float:
        """Share of the time."""
        return (time.time() - self._began) / self._seconds

    async def _ours(self, moments: random.Random) -> None:
        lasts_s, mortal = moments.uniform(0.5, 5), self._mortal()
        deeds: list[Deed] = []
        if mortal:
            name, how = moments.choice(mortal), moments.choice([signal.SIGKILL, signal.SIGTERM])
            deeds += [lambda: self._process(name, how)] * 2
        if self._world.shared:
            deeds += [lambda: self._redis(lasts_s), lambda: self._postgres(lasts_s)]
        if deeds:
            await moments.choice(deeds)()

    def _mortal(self) -> list[str]:
        """Of several every second one; one alone for a while."""
        if self._world.shared:
            return list(self._world.processes)[1::2]
        return list(self._world.processes) if self._passed() < KILLED_UNTIL else []

    async def _process(self, name: str, how: signal.Signals) -> None:
        with self._outages.note(name, how.name):
            process = self._world.processes[name]
            await asyncio.to_thread(process.stop, how)
            await asyncio.to_thread(process.start)

    async def _redis(self, lasts_s: float) -> None:
        assert self._world.shared
        redis = self._world.shared.redis
        with self._outages.note("redis", "SIGKILL"):
            await asyncio.to_thread(redis.kill)
            await asyncio.sleep(lasts_s)
            await asyncio.to_thread(redis.start)

    async def _postgres(self, lasts_s: float) -> None:
        assert self._world.shared
        postgres = self._world.shared.postgres
        with self._outages.note("postgres", "SIGKILL"):
            await asyncio.to_thread(postgres.kill)
            await asyncio.sleep(lasts_s)
            await asyncio.to_thread(postgres.start)

    async def _azure(self, moments: random.Random) -> None:
        azure, lasts_s = self._world.azure, moments.uniform(1, 6)
        how = moments.choice(["gone", "down", *FAULTS])
        with self._outages.note("azure", how):
            if how == "gone":
                await asyncio.to_thread(azure.die)
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
