"""What /health, /health/live and /health/ready know."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Literal

State = Literal["starting", "ready", "draining"]
Check = Callable[[], Awaitable[None]]

CHECK_TIMEOUT_S = 2.0


class Health:
    """The state of the process, and the checks that others register."""

    def __init__(self) -> None:
        self.state: State = "starting"
        self.last_provider_success: datetime | None = None
        self._started = time.monotonic()
        self._checks: dict[str, Check] = {}
        self._essential: set[str] = set()

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self._started

    def register(self, name: str, check: Check, *, essential: bool = True) -> None:
        """`check` raises when what it checks is down; not `essential`: work is taken all the
        same."""
        self._checks[name] = check
        if essential:
            self._essential.add(name)

    def provider_answered(self) -> None:
        self.last_provider_success = datetime.now(UTC)

    async def failing(self) -> list[str]:
        """The state, when it is not ready, or the names of failed checks."""
        if self.state != "ready":
            return [self.state]
        passed = await asyncio.gather(*map(_passes, self._checks.values()))
        return [name for name, ok in zip(self._checks, passed, strict=True) if not ok]

    async def unready(self) -> list[str]:
        """Of those, what keeps the service from taking work."""
        failing = await self.failing()
        return [name for name in failing if name == self.state or name in self._essential]


async def _passes(check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except Exception:
        return False
    return True
