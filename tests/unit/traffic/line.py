"""Deployments with room for 600 calls a minute, and who waits for it."""

import asyncio

from app.settings_groups import DeploymentLimits
from app.traffic.deployment import Deployment
from app.traffic.queue import Waiter
from app.traffic.quota import Quota
from app.traffic.scheduler import Scheduler
from tests.fakes import FakeProvider, answer
from tests.virtual_time import now

ROUND_TRIP_S = 0.001


class Remote(Quota):
    """As one in Redis: each question takes its time."""

    is_shared = True

    async def try_reserve(self, now, amounts, *, burst_s):
        await asyncio.sleep(ROUND_TRIP_S)
        return await super().try_reserve(now, amounts, burst_s=burst_s)


def deployment(name: str, provider: FakeProvider | None = None, *, remote=False, **limits):
    """Of which it is known that nobody spent anything."""
    made = Deployment(
        provider or FakeProvider("azure", deployment=name),
        DeploymentLimits(rpm=600, **limits),
        now=now(),
    )
    if remote:
        made.quota = Remote(made.quota.windows)
    for window in made.quota.windows.values():
        granted = window.belief.granted
        window.report(now(), limit=granted, remaining=granted, own=0)
    return made


def scheduler(*deployments: Deployment, most_waiting: int = 1_000) -> Scheduler:
    return Scheduler(deployments, batch_share=0.1, most_waiting=most_waiting)


def waiter(*deployments, caller="a", lane="interactive", patience_s=30.0, tokens=100.0) -> Waiter:
    amounts = {"requests": 1.0, "tokens": tokens}
    return Waiter(caller, lane, dict.fromkeys(deployments, amounts), now() + patience_s)


async def call(line: Scheduler, wanted: Waiter, seconds: float = 0.0) -> float:
    """When leave was given."""
    ticket = await line.admit(wanted)
    at = now()
    await asyncio.sleep(seconds)
    ticket.deployment.ended(now(), ticket, seconds, answer())
    line.changed()
    return at
