"""Pictures in progress: work on them continues even if the waiting client goes away."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from app.errors import ResultNotFound
from app.result import Result
from app.storage import ResultRepository
from app.telemetry.metrics import Metrics

LOOKED_AT_EVERY_S = 0.25
"""Seconds between two looks at a result that another process works on."""


class Running:
    """The pictures in progress, by the ids of their results."""

    def __init__(self, results: ResultRepository, metrics: Metrics, *, shared: bool) -> None:
        """`shared`: other processes answer pictures, too, and store results in the same place."""
        self._results = results
        self._metrics = metrics
        self._shared = shared
        self._tasks: dict[str, asyncio.Task[Result]] = {}
        self.draining = False
        """No new work may begin."""
        self.stopping = False
        """Work that still runs is cancelled."""

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, result_id: str) -> bool:
        return result_id in self._tasks

    def start(self, result_id: str, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Run the work that produces this result."""
        task = asyncio.create_task(work)
        self._tasks[result_id] = task
        self._metrics.classification_started()
        task.add_done_callback(lambda _: self._ended(result_id))
        return task

    async def wait_for(self, result_id: str, *, seconds: float) -> None:
        """Return when the picture is answered, the time is up, or nobody works on it."""
        task = self._tasks.get(result_id)
        if task is not None and seconds > 0:
            await asyncio.wait([task], timeout=seconds)
        elif self._shared:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._answered_elsewhere(result_id)

    async def drain(self, *, seconds: float) -> None:
        """Let running work finish, and cancel what does not finish in time."""
        self.draining = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=seconds)
            self.stopping = True
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _ended(self, result_id: str) -> None:
        del self._tasks[result_id]
        self._metrics.classification_finished()

    async def _answered_elsewhere(self, result_id: str) -> None:
        while True:
            with suppress(ResultNotFound):
                if not (await self._results.get(result_id, caller=None)).is_pending:
                    return
            await asyncio.sleep(LOOKED_AT_EVERY_S)
