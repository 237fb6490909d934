"""The ledger beside the bill, which the simulator wrote: `python -m tests.ledger_proof
[--calls 5000] [--several]`.

Two deployments answer people, some of whom show the same picture, and batches with duplicates. What
usage told is booked exactly, though calls fail, and one deployment is down for a while. Then
answers get lost, and what works is killed: what was billed is booked, and hardly more. With
`--several` two serve on PostgreSQL and Redis, and one of them is killed at a time.
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.bill import DEPLOYMENTS, RPM, Azure, Bill, Booked
from tests.pictures import jpeg, zipped
from tests.service import RunningService
from tests.shared_servers import SharedServers

PEOPLE, OF_BATCHES = 8, 8
"""Concurrent calls."""

AT_MOST_ABOVE = 0.01
"""Share of the bill by which the ledger may exceed it where usage was not reported."""

AGAIN_AFTER_S = 0.5
ENDS_WITHIN_S = 300.0

TOLD = [
    {"kind": "output_filter", "share": 0.01},
    {"kind": "refusal", "share": 0.02},
    {"kind": "error_500", "share": 0.01},
    {"kind": "unavailable_503", "share": 0.01},
    {"kind": "capacity_429", "share": 0.005},
]
"""Each picture has one number, so of two faults caused by pictures the one with the larger share
comes second. A fault that does not hit a call leaves it to the next fault."""

SHARE = 0.001
UNTOLD = [
    {"kind": "content_filter", "share": SHARE},
    *({"kind": kind, "share": SHARE} for kind in ("reset", "timeout_408", "garbage")),
    {"kind": "slow_body", "share": SHARE, "seconds": 60},
    {"kind": "error_500", "share": 0.01},
]


class Service:
    """One process that serves, or two with shared storage."""

    def __init__(self, folder: Path, azure: Azure, *, several: bool, timeout_s: float) -> None:
        self._stack = AsyncExitStack()
        variables = {
            "AZURE_OPENAI_ENDPOINT": azure.url,
            "AZURE_OPENAI_API_KEY": "any",
            "DEPLOYMENTS": json.dumps(
                [{"name": each, "model": "gpt-4o", "rpm": RPM} for each in DEPLOYMENTS]
            ),
            "API_TIMEOUT": str(timeout_s),
            "BATCH_IN_FLIGHT": str(OF_BATCHES),
        }
        if several:
            shared = SharedServers(folder)
            self._stack.callback(shared.close)
            variables |= shared.variables
        self.database_url = variables.get("DATABASE_URL", f"sqlite:///{folder}/0/app.db")
        self._services = []
        for number in range(1 + several):
            (folder / f"{number}").mkdir()
            self._services.append(RunningService(folder / f"{number}", **variables))

    def url(self, number: int) -> str:
        return self._services[number % len(self._services)].url

    def kill(self, number: int) -> None:
        """Like kill -9; the next process continues where it ended."""
        service = self._services[number % len(self._services)]
        service.stop(signal.SIGKILL)
        service.start()

    def stop(self) -> None:
        """Let all begun work end and be booked."""
        for each in self._services:
            each.stop()

    async def aclose(self) -> None:
        for each in self._services:
            if each.process.poll() is None:
                each.stop(signal.SIGKILL)
        await self._stack.aclose()


@dataclass
class Work:
    """Half of the calls are for people, and half for two batches.

    Attributes:
        heard: people's answers, counted by status; 0: none came.
    """

    service: Service
    calls: int
    heard: Counter[int] = field(default_factory=Counter)

    async def begin(self) -> asyncio.Task[None]:
        """Batches have been created when it returns; the task ends when everything is stored."""
        async with httpx2.AsyncClient(timeout=60) as http:
            batches = [
                await self._batch(http, domain, (1 + number) * self.calls)
                for number, domain in enumerate(("flowers", "animals"))
            ]
        return asyncio.create_task(self._run(batches))

    async def _run(self, batches: Sequence[str]) -> None:
        async with httpx2.AsyncClient(timeout=60) as http:
            questions = iter(range(self.calls // 2))
            await asyncio.gather(*(self._person(http, questions) for _ in range(PEOPLE)))
            for each in batches:
                await self._until(http, each, lambda report: report["status"] == "completed")
            await self._until(http, "/results?status=pending", lambda page: not page["results"])

    async def _person(self, http: httpx2.AsyncClient, questions: Iterator[int]) -> None:
        for number in questions:
            picture = jpeg(64, 64, seed=number)
            match number % 10:
                case 0:  # two at the same time
                    asked = (self._ask(http, number + each, picture) for each in range(2))
                    await asyncio.gather(*asked)
                case 1 if number > 100:  # an earlier picture again
                    await self._ask(http, number, jpeg(64, 64, seed=number - 91))
                case 2:
                    await self._ask(http, number, picture, prefer="respond-async")
                case _:
                    await self._ask(http, number, picture)

    async def _ask(
        self, http: httpx2.AsyncClient, number: int, picture: bytes, **headers: str
    ) -> None:
        """Retry until there is an answer: the serving process may be killed in the meantime."""
        status = 0
        while not status:
            with suppress(httpx2.TransportError):
                answer = await http.post(
                    f"{self.service.url(number)}/classify",
                    data={"domain": "flowers"},
                    files={"file": ("a.jpg", picture)},
                    headers=headers,
                )
                status = answer.status_code
            self.heard[status] += 1
            await asyncio.sleep(0 if status else AGAIN_AFTER_S)

    async def _batch(self, http: httpx2.AsyncClient, domain: str, seed: int) -> str:
        """Create a batch and return its path."""
        archive = await asyncio.to_thread(_archive, self.calls // 4, seed)
        created = await http.post(
            f"{self.service.url(0)}/batches",
            data={"domain": domain},
            files={"file": ("a.zip", archive)},
        )
        return str(created.headers["location"])

    async def _until(self, http: httpx2.AsyncClient, path: str, done: Any) -> None:
        async with asyncio.timeout(ENDS_WITHIN_S):
            while True:
                with suppress(httpx2.TransportError):
                    if done((await http.get(self.service.url(0) + path)).json()):
                        return
                await asyncio.sleep(0.2)


def _archive(count: int, seed: int) -> bytes:
    """An archive of this many pictures, every tenth of them twice."""
    pictures = [jpeg(64, 64, seed=seed + number) for number in range(count)]
    return zipped(pictures + pictures[::10])


async def told(folder: Path, calls: int, faults: Sequence[dict[str, Any]] = TOLD) -> dict[str, Any]:
    """All that was billed was reported as usage. `complaints` is empty when the ledger equals
    it."""
    async with AsyncExitStack() as stack:
        azure, service = await _begin(stack, folder, faults, timeout_s=30)
        work = Work(service, calls)
        running = await work.begin()
        await _arrived(azure, calls // 3, running)
        await asyncio.to_thread(azure.order, DEPLOYMENTS[1], down=True)
        await _arrived(azure, calls // 2, running)
        await asyncio.to_thread(azure.order, DEPLOYMENTS[1], down=False)
        await running
        await asyncio.to_thread(service.stop)
        bill, booked = azure.bill(), await Booked.read(service.database_url)
    complaints = list(booked.complaints())
    if booked.calls != bill.calls or booked.estimated:
        complaints.append(f"{booked.calls} calls, {booked.estimated} estimated, of {bill.calls}")
    if booked.tokens != bill.told:
        complaints.append(f"{dict(booked.tokens)} are booked, and {dict(bill.told)} billed")
    if booked.usd != bill.usd:
        complaints.append(f"{booked.usd} USD are booked, and {bill.usd} billed")
    return _found(bill, booked, work) | {"complaints": complaints}


async def untold(
    folder: Path,
    calls: int,
    kills: int,
    *,
    several: bool = False,
    at_most_above: float = AT_MOST_ABOVE,
) -> dict[str, Any]:
    """Answers are lost. `complaints` is empty when nothing is missing and the excess is within
    bounds."""
    moments = random.Random(calls)
    async with AsyncExitStack() as stack:
        azure, service = await _begin(stack, folder, UNTOLD, timeout_s=6, several=several)
        work = Work(service, calls)
        running = await work.begin()
        for number in range(kills):
            share = (number + moments.uniform(0.5, 1)) / (kills + 0.5)
            await _arrived(azure, int(share * calls), running)
            await asyncio.to_thread(service.kill, number)
        await running
        await asyncio.to_thread(service.stop)
        bill, booked = azure.bill(), await Booked.read(service.database_url)
    complaints = list(booked.complaints())
    if booked.calls < bill.calls:
        complaints.append(f"{bill.calls - booked.calls} calls are missing")
    above = float(booked.usd / bill.usd - 1)
    if not 0 <= above <= at_most_above:
        complaints.append(f"{booked.usd} USD are booked, {above:+.3%}, and {bill.usd} billed")
    return _found(bill, booked, work) | {"kills": kills, "complaints": complaints}


async def _begin(
    stack: AsyncExitStack,
    folder: Path,
    faults: Sequence[dict[str, Any]],
    *,
    timeout_s: float,
    several: bool = False,
) -> tuple[Azure, Service]:
    azure = await asyncio.to_thread(Azure, faults)
    stack.callback(azure.stop)
    service = await asyncio.to_thread(Service, folder, azure, several=several, timeout_s=timeout_s)
    stack.push_async_callback(service.aclose)
    return azure, service


async def _arrived(azure: Azure, count: int, running: asyncio.Task[None]) -> None:
    """Wait for this many calls, or all that there are."""
    while sum((await asyncio.to_thread(azure.bill)).arrived) < count:
        ended, _ = await asyncio.wait([running], timeout=0.1)
        if ended:
            break


def _found(bill: Bill, booked: Booked, work: Work) -> dict[str, Any]:
    return {
        "arrived": bill.arrived,
        "turned_away": bill.turned_away,
        "faults": dict(bill.faults),
        "heard": dict(work.heard),
        "kinds": dict(booked.kinds),
        "calls": booked.calls,
        "calls_billed": bill.calls,
        "estimated": booked.estimated,
        "estimated_usd": f"{booked.estimated_usd:.6f}",
        "tokens_told": dict(booked.tokens),
        "usd": f"{booked.usd:.6f}",
        "usd_billed": f"{bill.usd:.6f}",
        "above": f"{float(booked.usd / bill.usd - 1):+.4%}",
    }


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--calls", type=int, default=5_000)
    arguments.add_argument("--kills", type=int, default=4)
    arguments.add_argument("--several", action="store_true", help="on PostgreSQL and Redis")
    options = arguments.parse_args()
    complaints = 0
    parts = ("untold",) if options.several else ("told", "untold")
    for part in parts:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            proof = (
                told(Path(folder), options.calls)
                if part == "told"
                else untold(Path(folder), options.calls, options.kills, several=options.several)
            )
            found = asyncio.run(proof)
        found |= {"took_s": round(time.monotonic() - began, 1)}
        sys.stdout.write(json.dumps({part: found}, indent=2) + "\n")
        complaints += len(found["complaints"])
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
