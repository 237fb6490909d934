"""How the deployments are doing: for operators and metrics."""

import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from app.traffic.breaker import State
from app.traffic.deployment import Deployment
from app.traffic.queue import LANES, Lane
from app.traffic.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class DimensionState:
    """
    Attributes:
        per_minute: the limit, as it is believed now.
        left: what could be taken at once.
        share_left: of what a window holds, 0 to 1.
    """

    per_minute: float
    left: float
    share_left: float


@dataclass(frozen=True, slots=True)
class DeploymentState:
    """
    Attributes:
        quota: by dimension, `requests` and `tokens`; empty where calls are not metered.
        latency_s: running mean of calls that were answered.
        last_error: the kind of the last failure, and when it was.
    """

    name: str
    model: str
    priority: int
    breaker: State
    in_flight: int
    max_in_flight: int | None
    latency_s: float
    quota: dict[str, DimensionState]
    last_error: tuple[datetime, str] | None


@dataclass(frozen=True, slots=True)
class ProviderState:
    """A provider's deployments, and the calls that wait for any of them, by lane, as one process
    sees them."""

    process: str
    provider: str
    waiting: dict[Lane, int]
    deployments: list[DeploymentState]


def states(schedulers: Iterable[tuple[str, Scheduler]], now: float) -> Iterator[ProviderState]:
    """Of this process, as of `now`, the event loop's time."""
    for provider, scheduler in schedulers:
        yield ProviderState(
            f"{socket.gethostname()}:{os.getpid()}",
            provider,
            {lane: scheduler.waiting(lane) for lane in LANES},
            [_state(each, now) for each in scheduler.deployments],
        )


def _state(deployment: Deployment, now: float) -> DeploymentState:
    failed = deployment.last_error
    return DeploymentState(
        name=deployment.name,
        model=deployment.provider.capabilities().model,
        priority=deployment.priority,
        breaker=deployment.breaker.state(now),
        in_flight=deployment.in_flight,
        max_in_flight=deployment.limits.max_in_flight if deployment.limits else None,
        latency_s=deployment.latency_s,
        quota={
            name: DimensionState(
                window.belief.per_minute(now),
                deployment.quota.left(now, name) * window.belief.unit,
                deployment.quota.left(now, name) / window.limit(now),
            )
            for name, window in deployment.quota.windows.items()
        },
        last_error=failed and (failed[0], failed[1].kind),
    )
