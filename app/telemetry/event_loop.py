"""Measures how late the event loop is: whatever blocks it delays every request."""

import asyncio

from app.telemetry.metrics import Metrics

EVERY_S = 0.5


class LagWatch:
    """Sets a timer, not a task, and measures how late it fires."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Start on the running loop."""
        loop = asyncio.get_running_loop()
        self._due = loop.time() + EVERY_S
        self._timer = loop.call_at(self._due, self._woken, loop)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _woken(self, loop: asyncio.AbstractEventLoop) -> None:
        self._metrics.event_loop_lag(max(0.0, loop.time() - self._due))
        self.start()
