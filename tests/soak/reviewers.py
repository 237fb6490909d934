"""Two people who review answers of which the service is unsure."""

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any

from tests.soak.caller import Caller

NAMES = ("ada", "eve")
GIVEN = 5
LOOKS_S = 0.4
"""Mean time spent on a picture."""


@dataclass(frozen=True)
class Decision:
    """A decision that was acknowledged."""

    reviewer: str
    action: str
    label: str


class Reviewers:
    """
    Attributes:
        decisions: by the result's id.
        others: how many given pictures another reviewer had decided or taken in the meantime.
    """

    def __init__(self, caller: Caller, seed: int) -> None:
        self.decisions: dict[str, Decision] = {}
        self.others = 0
        self._caller = caller
        self._chance = random.Random(f"{seed} reviewers")

    async def look(self, until: float) -> None:
        await asyncio.gather(*(self._reviewer(name, until) for name in NAMES))

    async def _reviewer(self, name: str, until: float) -> None:
        query = {"reviewer": name, "limit": GIVEN}
        while time.time() < until:
            given = await self._caller.ask("reviews", "GET", "/reviews", params=query)
            given.raise_for_status()
            for each in given.json()["reviews"]:
                await asyncio.sleep(self._chance.expovariate(1 / LOOKS_S))
                await self._decide(name, each)
            if not given.json()["reviews"]:
                await asyncio.sleep(LOOKS_S)

    async def _decide(self, name: str, item: dict[str, Any]) -> None:
        result = item["result"]
        order = {"reviewer": name, "action": "confirm"}
        label = result["predicted_class"]
        if self._chance.random() < 0.1:
            others = [each["label"] for each in item["classes"] if each["label"] != label]
            label = self._chance.choice(others)
            order |= {"action": "correct", "label": label}
        path = f"/reviews/{result['id']}"
        told = await self._caller.ask("decision", "POST", path, json=order)
        if told.status_code == 409:
            self.others += 1
            return
        told.raise_for_status()
        self.decisions[result["id"]] = Decision(name, order["action"], label)
