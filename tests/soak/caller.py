"""A caller who retries with any process of the service until it answers."""

import asyncio
import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.soak.world import World

AGAIN_AFTER_S = 0.3
"""The wait where no response says how long."""

WAITS_S = 5.0
"""The longest wait, whatever `Retry-After` says."""

IDLE_S = 2.0

UNANSWERED = 0
"""The status of an attempt without an answer."""

IN_USE = "idempotency-key-in-use"


class Unanswered(Exception):
    """Only refusals until the end."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    Attributes:
        where: the process that was called.
        began, ended: Unix seconds.
        problem: the last part of its type, or why there was no answer.
        says_when: it has a `Retry-After`.
    """

    what: str
    where: str
    began: float
    ended: float
    status: int
    problem: str
    says_when: bool


class Caller:
    def __init__(self, world: World) -> None:
        self.attempts: list[Attempt] = []
        self.gives_up_at = float("inf")
        self._world = world
        self._turns = itertools.count()
        # The service may close a connection idle for longer just when it is used again.
        limits = httpx2.Limits(max_connections=100, keepalive_expiry=IDLE_S)
        self._http = httpx2.AsyncClient(timeout=60, limits=limits)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def ask(self, what: str, method: str, path: str, **request: Any) -> httpx2.Response:
        """Return the answer, even if it is a refusal. Raises Unanswered."""
        while time.time() < self.gives_up_at:
            response = await self.try_once(what, method, path, **request)
            if response is None:
                await asyncio.sleep(AGAIN_AFTER_S)
            elif response.status_code < 500 and _problem(response) != IN_USE:
                return response
            else:
                named_s = float(response.headers.get("retry-after", 1))
                await asyncio.sleep(min(named_s, WAITS_S))
        raise Unanswered(f"{method} {path}")

    async def try_once(
        self, what: str, method: str, path: str, **request: Any
    ) -> httpx2.Response | None:
        """None: no answer came, or it was incomplete."""
        serving = self._world.serving
        where = serving[next(self._turns) % len(serving)]
        began, response = time.time(), None
        status, problem = UNANSWERED, ""
        try:
            url = self._world.processes[where].url + path
            response = await self._http.request(method, url, **request)
            status, problem = response.status_code, _problem(response)
        except httpx2.TransportError as error:
            problem = type(error).__name__
        says_when = response is not None and "retry-after" in response.headers
        self.attempts.append(Attempt(what, where, began, time.time(), status, problem, says_when))
        return response


def _problem(response: httpx2.Response) -> str:
    if response.headers.get("content-type") != "application/problem+json":
        return ""
    told: Mapping[str, Any] = response.json()
    return str(told["type"]).rpartition("/")[2]
