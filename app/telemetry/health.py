"""The state behind /health, /health/live and /health/ready."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

State = Literal["starting", "ready", "draining"]
Check = Callable[[], Awaitable[None]]

CHECK_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is not as it should be.

    Attributes:
        what: a check, a state, or a deployment.
        means: the consequence for callers, in a sentence.
        since: None: not known.
    """

    what: str
    means: str
    since: datetime | None = None


MEANS = {
    "starting": "It takes no work yet.",
    "draining": "It is being stopped: it ends what it works on, and takes nothing new.",
}


class Health:
    """The state of the process, and the checks that others register."""

    def __init__(self) -> None:
        self.state: State = "starting"
        self.last_provider_success: datetime | None = None
        self.passed: Mapping[str, bool] = {}
        """The result of each check when it was last run."""
        self._started = time.monotonic()
        self._checks: dict[str, Check] = {}
        self._means: dict[str, str] = dict(MEANS)
        self._essential: set[str] = set()
        self._failing_since: dict[str, datetime] = {}
        self._checking: asyncio.Task[Mapping[str, bool]] | None = None
        self._watched: list[Callable[[], Iterable[Trouble]]] = []

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self._started

    def register(self, name: str, check: Check, means: str, *, essential: bool = True) -> None:
        """`check` raises when what it checks is down; `means` is the consequence for callers. If
        not `essential`, the service accepts work all the same."""
        self._checks[name] = check
        self._means[name] = means
        if essential:
            self._essential.add(name)

    def watch(self, troubles: Callable[[], Iterable[Trouble]]) -> None:
        """Ask for `troubles` in addition to failed checks."""
        self._watched.append(troubles)

    def provider_answered(self) -> None:
        self.last_provider_success = datetime.now(UTC)

    async def failing(self) -> list[str]:
        """The state, when it is not ready, else the names of failed checks."""
        if self.state != "ready":
            return [self.state]
        return [name for name, passes in (await self.check()).items() if not passes]

    async def check(self) -> Mapping[str, bool]:
        """Run all checks, or wait for a run in progress; return whether each passes."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check(), context=Context())
        return await asyncio.shield(self._checking)

    async def _check(self) -> Mapping[str, bool]:
        passed = await asyncio.gather(*map(_passes, self._checks.values()))
        self.passed = dict(zip(self._checks, passed, strict=True))
        now = datetime.now(UTC)
        failing = [name for name, passes in self.passed.items() if not passes]
        self._failing_since = {name: self._failing_since.get(name, now) for name in failing}
        return self.passed

    async def troubles(self) -> tuple[list[Trouble], list[Trouble]]:
        """Troubles of what is in `failing`, and other troubles."""
        failing = [
            Trouble(name, self._means[name], self._failing_since.get(name))
            for name in await self.failing()
        ]
        return failing, [each for watched in self._watched for each in watched()]

    async def unready(self) -> list[str]:
        """The part of `failing` that keeps the service from accepting work."""
        failing = await self.failing()
        return [name for name in failing if name == self.state or name in self._essential]


async def _passes(check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except Exception:
        return False
    return True
