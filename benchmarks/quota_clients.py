"""What is measured against the simulator: this service's way to a deployment, and two that are
common. Each is a process of its own, and prints one line of JSON for each picture.

    python -m benchmarks.quota_clients CLIENT '{"urls": [...], "rpm": ..., ...}'
"""

import asyncio
import base64
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import openai

from app.budget import Payer
from app.domains import Domain
from app.errors import ClassifierError
from app.images import PreparedImage, prepare
from app.parts import build_parts
from app.providers.question import ChatQuestion
from app.settings import Settings
from app.telemetry.logging import LoggingConfig, configure_logging
from app.traffic import Case
from tests.pictures import encoded, photograph

DOMAIN = Domain(name="flowers", classes=("dandelion", "rose", "sunflower", "daisy"))
DEPLOYMENT = "eyes"
ANSWER_TOKENS = 32


@dataclass(frozen=True)
class Plan:
    """
    Attributes:
        urls: of simulators with one deployment each.
        burst, every_s: how many pictures arrive at once, and how often.
        people: share of the pictures that a person waits for.
        redis_url: where processes share the quota; None: there is only one process, or the client
            can't share.
    """

    urls: list[str]
    rpm: int
    tpm: int
    seconds: float
    burst: int
    every_s: float
    people: float = 0.0
    redis_url: str | None = None


class Client(Protocol):
    async def ask(self, *, lane: str) -> float:
        """Return the seconds waited for quota. Raises when there is no answer in the end."""
        ...


def picture() -> PreparedImage:
    return prepare(encoded(photograph(512, 384), "JPEG"), longest=512, encode=True)


class Service:
    """This service's dispatcher, with the settings a user would make."""

    def __init__(self, parts: Any) -> None:
        self._dispatcher = parts.dispatcher
        self._picture = picture()

    @classmethod
    @asynccontextmanager
    async def open(cls, plan: Plan) -> AsyncIterator["Service"]:
        settings = Settings(
            database_url="sqlite://",
            azure_openai={"endpoint": plan.urls[0], "api_key": "key"},
            deployments=[
                {
                    "name": f"{DEPLOYMENT}-{number}",
                    "deployment": DEPLOYMENT,
                    "endpoint": url,
                    "model": "gpt-4o",
                    "rpm": plan.rpm,
                    "tpm": plan.tpm,
                }
                for number, url in enumerate(plan.urls)
            ],
            redis_url=plan.redis_url,
            api={"timeout": 600},
            traffic={"max_waiting": 100_000},
        )
        async with build_parts(settings) as parts:
            yield cls(parts)

    async def ask(self, *, lane: str) -> float:
        case = Case(self._picture, DOMAIN, Payer(lane), lane)
        await self._dispatcher.ask(("azure_openai",), case)
        return case.spent.wait_s


class _Sdk:
    """Calls through the OpenAI SDK, alternating between deployments."""

    def __init__(self, plan: Plan, *, retries: int) -> None:
        self._clients = [
            openai.AsyncOpenAI(base_url=f"{url}/openai/v1/", api_key="key", max_retries=retries)
            for url in plan.urls
        ]
        self._turn = 0
        question = ChatQuestion(DOMAIN, stated=False)
        url = f"data:image/jpeg;base64,{base64.b64encode(picture().jpeg).decode()}"
        content = [{"type": "image_url", "image_url": {"url": url, "detail": "low"}}]
        self._request = {
            "model": DEPLOYMENT,
            "messages": [
                {"role": "system", "content": question.system},
                {"role": "user", "content": content},
            ],
            "response_format": question.response_format,
            "max_completion_tokens": ANSWER_TOKENS,
            "temperature": 0,
        }
        self.text_tokens = len(question.system) // 4

    async def call(self) -> None:
        self._turn += 1
        client: Any = self._clients[self._turn % len(self._clients)]
        await client.chat.completions.create(**self._request)


class Semaphore:
    """asyncio.Semaphore around an SDK that retries: the most common solution."""

    AT_ONCE = 32

    def __init__(self, plan: Plan) -> None:
        self._sdk = _Sdk(plan, retries=5)
        self._room = asyncio.Semaphore(self.AT_ONCE)

    @classmethod
    @asynccontextmanager
    async def open(cls, plan: Plan) -> AsyncIterator["Semaphore"]:
        yield cls(plan)

    async def ask(self, *, lane: str) -> float:
        came = time.monotonic()
        async with self._room:
            waited = time.monotonic() - came
            await self._sdk.call()
        return waited


class Script:
    """A token bucket that starts full, counts 85 tokens for a picture, and pauses all calls for 15
    s after a 429: the pattern of the well-known script for parallel requests."""

    IMAGE_TOKENS = 85
    PAUSE_S = 15.0
    ATTEMPTS = 5
    TURN_S = 0.001

    def __init__(self, plan: Plan) -> None:
        self._sdk = _Sdk(plan, retries=0)
        self._per_s = {
            "requests": plan.rpm * len(plan.urls) / 60,
            "tokens": plan.tpm * len(plan.urls) / 60,
        }
        self._left = {name: rate * 60 for name, rate in self._per_s.items()}
        self._updated = time.monotonic()
        self._refused = float("-inf")
        self._turn = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, plan: Plan) -> AsyncIterator["Script"]:
        yield cls(plan)

    async def ask(self, *, lane: str) -> float:
        came, waited = time.monotonic(), 0.0
        for attempt in range(1, self.ATTEMPTS + 1):
            async with self._turn:
                await self._room()
            waited = time.monotonic() - came
            try:
                await self._sdk.call()
            except openai.OpenAIError as error:
                if isinstance(error, openai.RateLimitError):
                    self._refused = time.monotonic()
                if attempt == self.ATTEMPTS:
                    raise
            else:
                break
        return waited

    async def _room(self) -> None:
        cost = {
            "requests": 1.0,
            "tokens": float(self._sdk.text_tokens + self.IMAGE_TOKENS + ANSWER_TOKENS),
        }
        while True:
            now = time.monotonic()
            pause = self._refused + self.PAUSE_S - now
            if pause > 0:
                await asyncio.sleep(pause)
                continue
            for name, rate in self._per_s.items():
                self._left[name] = min(self._left[name] + rate * (now - self._updated), rate * 60)
            self._updated = now
            if all(self._left[name] >= amount for name, amount in cost.items()):
                for name, amount in cost.items():
                    self._left[name] -= amount
                return
            await asyncio.sleep(self.TURN_S)


CLIENTS: dict[str, Callable[[Plan], Any]] = {
    "service": Service.open,
    "semaphore": Semaphore.open,
    "script": Script.open,
}


async def run(name: str, plan: Plan) -> None:
    """Submit pictures as planned, and print the outcome of each: when it was answered (seconds
    since 1970), how long it waited for quota and in total, and whether a person waited."""
    async with CLIENTS[name](plan) as client:
        tasks: set[asyncio.Task[None]] = set()
        began, turn = time.monotonic(), 0
        while (due := began + turn * plan.every_s) < began + plan.seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            for each in range(plan.burst):
                number = turn * plan.burst + each
                person = int(number * plan.people) != int((number + 1) * plan.people)
                task = asyncio.create_task(_one(client, person=person))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            turn += 1
        await asyncio.sleep(max(0.0, began + plan.seconds - time.monotonic()))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _one(client: Client, *, person: bool) -> None:
    came = time.monotonic()
    waited, answered = 0.0, True
    try:
        waited = await client.ask(lane="interactive" if person else "batch")
    except (ClassifierError, openai.OpenAIError):
        answered = False
    line = {
        "at": time.time(),
        "waited_s": waited,
        "took_s": time.monotonic() - came,
        "person": person,
        "answered": answered,
    }
    sys.stdout.write(json.dumps(line) + "\n")


def command(name: str, plan: Plan) -> list[str]:
    """The command line of a process that does so."""
    return [sys.executable, "-m", "benchmarks.quota_clients", name, json.dumps(asdict(plan))]


if __name__ == "__main__":
    configure_logging(LoggingConfig(level="error"))
    asyncio.run(run(sys.argv[1], Plan(**json.loads(sys.argv[2]))))
