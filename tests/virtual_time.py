"""An event loop whose clock jumps to the next timer instead of waiting for it."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

STUCK_S = 5.0
"""Real seconds without any event or timer after which a test is stuck."""


class _Selector(selectors.DefaultSelector):
    """Lets virtual time pass when nothing is ready."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            ready = super().select(STUCK_S)
            if not ready:
                raise RuntimeError("everything waits, and nothing is to come")
            return ready
        self.loop.pass_time(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """For code that waits only with asyncio: no threads, no network. A module requests it with
    `pytestmark = pytest.mark.virtual_time`."""

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.passed_s = 0.0
        self._clock_at_start_s = 1000.0
        super().__init__(selector)

    def time(self) -> float:
        return self._clock_at_start_s + self.passed_s

    def pass_time(self, seconds: float) -> None:
        self.passed_s += seconds

    def set_clock(self, seconds: float) -> None:
        """Move the clock forward or, if negative, back, without time passing."""
        self._clock_at_start_s += seconds


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Like asyncio.run, in virtual time: for property tests."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)


def now() -> float:
    return asyncio.get_running_loop().time()


def passed_s() -> float:
    """Since the start, independent of changes to the clock."""
    return virtual_loop().passed_s


def virtual_loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop
