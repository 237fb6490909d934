"""Batches in sequence, two at a time."""

import asyncio
import itertools
import time
from dataclasses import dataclass
from typing import Any

from tests.pictures import zipped
from tests.soak.caller import Caller
from tests.soak.paid import Origin
from tests.soak.people import picture

AT_ONCE = 2
PICTURES, DUPLICATES = 30, 3
ITEMS = PICTURES + DUPLICATES
SEEDS = 10_000_000
"""The first seed for these pictures, which nobody else uses."""

PAUSE_S = 2.0
LOOKED_EVERY_S = 1.0
PAGE = 1_000


@dataclass
class Batch:
    number: int
    id: str
    over: bool = False


class Bulk:
    def __init__(self, caller: Caller) -> None:
        self.batches: list[Batch] = []
        self._caller = caller
        self._numbers = itertools.count()

    def origins(self) -> dict[int, Origin]:
        """Of all pictures, by their seeds."""
        return {
            seed: Origin(f"batch {each.number}", later=True)
            for each in self.batches
            for seed in _seeds(each.number)
        }

    async def run(self, until: float) -> None:
        await asyncio.gather(*(self._again_and_again(until) for _ in range(AT_ONCE)))

    async def _again_and_again(self, until: float) -> None:
        while time.time() < until:
            batch = await self._create(next(self._numbers))
            while not batch.over:
                await asyncio.sleep(LOOKED_EVERY_S)
                report = await self._caller.ask("batch", "GET", f"/batches/{batch.id}")
                report.raise_for_status()
                batch.over = report.json()["status"] == "completed"
            await asyncio.sleep(PAUSE_S)

    async def _create(self, number: int) -> Batch:
        created = await self._caller.ask(
            "new batch",
            "POST",
            "/batches",
            data={"domain": "flowers"},
            files={"file": ("a.zip", await asyncio.to_thread(_archive, number))},
            headers={"idempotency-key": f"batch-{number}"},
        )
        created.raise_for_status()
        batch = Batch(number, created.json()["id"])
        self.batches.append(batch)
        return batch

    async def items(self, batch: Batch) -> list[dict[str, Any]]:
        path, query = f"/batches/{batch.id}/items", {"limit": PAGE}
        page = await self._caller.ask("items", "GET", path, params=query)
        page.raise_for_status()
        return page.json()["items"]


def _archive(number: int) -> bytes:
    pictures = [picture(each) for each in _seeds(number)]
    return zipped(pictures + pictures[:DUPLICATES])


def _seeds(number: int) -> range:
    first = SEEDS + number * PICTURES
    return range(first, first + PICTURES)
