"""How the deployments are doing: for operators and metrics."""

import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from app.telemetry.health import Trouble
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
        share_left: the same as a share of what a window holds, 0 to 1.
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
        failing_since: None while the breaker is closed.
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
    failing_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class ProviderState:
    """A provider's deployments, and the calls that wait for any of them, by lane, as one process
    sees them.

    Attributes:
        checks: whether each health check of the process passed. They are published with each
            provider, where versions that do not know them ignore them.
        told_at: when it was published, by the clock of the process; None: it was not, or by a
            version that does not say.
    """

    process: str
    provider: str
    waiting: dict[Lane, int]
    deployments: list[DeploymentState]
    checks: dict[str, bool] = field(default_factory=dict)
    told_at: datetime | None = None


def states(schedulers: Iterable[tuple[str, Scheduler]], now: float) -> Iterator[ProviderState]:
    """The states in this process, as of `now`, the event loop's time."""
    for provider, scheduler in schedulers:
        yield ProviderState(
            f"{socket.gethostname()}:{os.getpid()}",
            provider,
            {lane: scheduler.waiting(lane) for lane in LANES},
            [_state(each, now) for each in scheduler.deployments],
        )


def troubles(states: Iterable[ProviderState]) -> Iterator[Trouble]:
    """What failing deployments mean for callers."""
    for provider in states:
        for each in provider.deployments:
            if each.breaker != "closed":
                last = f", the last time with {each.last_error[1]}" if each.last_error else ""
                yield Trouble(
                    f"{provider.provider}/{each.name}",
                    f"Calls to it failed{last}: it is left alone but for a try now and then. Other "
                    "deployments and providers are asked instead, where there are any.",
                    each.failing_since,
                )


def _at(then: float, now: float) -> datetime:
    """The wall clock's time for one of the event loop's."""
    return datetime.now(UTC) - timedelta(seconds=now - then)


def _state(deployment: Deployment, now: float) -> DeploymentState:
    failed, since = deployment.last_error, deployment.breaker.failing_since
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
        failing_since=None if since is None else _at(since, now),
    )
