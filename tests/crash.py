"""A batch against a simulator that fails one call in twenty, while what works on it is killed again
and again: `python -m tests.crash [--several] [--items 2000] [--kills 20]`.

One process on SQLite, or, with `--several`, two that serve and two workers on PostgreSQL and Redis,
where any of them is killed, or Redis with all that it knew. In the end every item has one result,
and no more was paid than for the items and for what was in flight when something died. A webhook is
told of each result, and of nothing else; twice only of what was on its way then.
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2

from app.parts import DOMAINS_EVERY_S
from app.settings_groups import WebhookSettings
from app.webhooks.signing import new_secret
from benchmarks.quota import Case, Simulator
from benchmarks.quota_clients import DEPLOYMENT
from tests.pictures import encoded, photograph, zipped
from tests.receiver_process import Arrival, Receiver
from tests.service import RunningService
from tests.shared_servers import SharedServers

IN_FLIGHT = 64
UNCOMMITTED = 4 * 10
"""Answers that wait to be committed: ten for each of four shards."""

DELIVERING = WebhookSettings().at_once
"""How many events may be in delivery, or not yet recorded as delivered."""

ANSWERED_AFTER_S = 0.05
"""The receiver's delay: long enough that some delivery is always in progress."""

TOLD_WITHIN_S = 120.0

KNOWN_TO_ALL_S = DOMAINS_EVERY_S + 1
"""Time until every process knows a new webhook: before that, a process sends it no events."""

RPM, RPM_OF_SEVERAL = 6_000, 1_200
"""With several, work continues while one is killed: slowly enough that some is left to do."""

BEHAVIOUR = {
    "latency": {"mean_s": 0.3, "p95_s": 0.6, "floor_s": 0.1},
    "faults": [{"kind": "error_500", "share": 0.03}, {"kind": "reset", "share": 0.02}],
}


def archive(count: int) -> bytes:
    """A different picture for each item."""
    sizes = ((64 + number % 64, 64 + number // 64) for number in range(count))
    return zipped(encoded(photograph(*size), "JPEG") for size in sizes)


class One:
    """A process that serves and works."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self._service = RunningService(folder, **variables)
        self.deaths = 0
        """Deaths of processes, or losses of their state."""

    @property
    def url(self) -> str:
        return self._service.url

    def kill(self, moments: random.Random) -> None:
        self._service.stop(signal.SIGKILL)
        self.deaths += 1
        self._service.start()

    def stop(self) -> None:
        if self._service.process.poll() is None:
            self._service.stop()


class Several:
    """Two that serve, one of which does no background work, and two workers."""

    COMMANDS = (("serve", "on"), ("serve", "off"), ("worker", "on"), ("worker", "on"))

    def __init__(self, folder: Path, **variables: str) -> None:
        self._shared = SharedServers(folder)
        variables |= self._shared.variables
        self._services = []
        for number, (command, work) in enumerate(self.COMMANDS):
            own = folder / f"{number}-{command}"
            own.mkdir()
            self._services.append(RunningService(own, command, **variables, WORK=work))
        self.deaths = 0

    @property
    def url(self) -> str:
        """Of one that is running."""
        return next(each.url for each in self._services if each.command == "serve")

    def kill(self, moments: random.Random) -> None:
        number = moments.randrange(len(self._services) + 1)
        if number == len(self._services):
            self._shared.redis.kill()
            self._shared.redis.start()
            # Redis no longer knows the workers, so their shards are given to others.
            self.deaths += len(self._services)
            return
        service = self._services[number]
        service.stop(signal.SIGKILL)
        self.deaths += 1
        service.start()

    def stop(self) -> None:
        for each in self._services:
            if each.process.poll() is None:
                each.stop(signal.SIGKILL)
        self._shared.close()


async def run(
    items: int, kills: int, seed: int, folder: Path, *, several: bool = False
) -> dict[str, Any]:
    """Return the findings; `complaints` is empty when all is well."""
    moments = random.Random(seed)
    rpm = RPM_OF_SEVERAL if several else RPM
    async with AsyncExitStack() as stack:
        simulator = await asyncio.to_thread(Simulator, Case(rpm=rpm, behaviour=BEHAVIOUR))
        stack.callback(simulator.stop)
        secret = new_secret()
        receiver = await asyncio.to_thread(Receiver, secret, latency_s=ANSWERED_AFTER_S)
        stack.callback(receiver.stop)
        killed = await asyncio.to_thread(
            Several if several else One,
            folder,
            AZURE_OPENAI_ENDPOINT=simulator.url,
            AZURE_OPENAI_API_KEY="any",
            AZURE_OPENAI_DEPLOYMENT=DEPLOYMENT,
            RATE_LIMIT_RPM=str(rpm),
            EGRESS_ALLOW=receiver.place,
        )
        stack.callback(killed.stop)
        webhook = await _register(killed.url, receiver.url("/all"), secret)
        if several:
            await asyncio.sleep(KNOWN_TO_ALL_S)
        place = await _create(killed.url, items)
        count, complaints = await _kill(killed, place, kills, moments)
        last = await _completed(killed, place)
        rows = await _rows(killed, place)
        counts = simulator.counts()
        untold = await _told(killed, webhook)
        arrived = await asyncio.to_thread(receiver.arrived)
    lost, twice = killed.deaths * (IN_FLIGHT + UNCOMMITTED), killed.deaths * DELIVERING
    results = {each["result"]["id"] for each in rows if each["result"]}
    return {
        "items": items,
        "kills": count,
        "failed": last["counts"]["failed"],
        "answered": counts["answered"],
        "paid_twice": counts["answered"] - items,
        "could_be": lost,
        "events": len({each.event_id for each in arrived}),
        "told_twice": _told_twice(arrived),
        "could_be_told_twice": twice,
        "complaints": [
            *complaints,
            *_wrong(items, lost, last, rows, counts),
            *_wrongly_told(results, place.rpartition("/")[2], twice, untold, arrived),
        ],
    }


async def _kill(
    what: One | Several, place: str, kills: int, moments: random.Random
) -> tuple[int, list[str]]:
    """Return how often, and what was wrong with the progress in the meantime."""
    done, complaints = 0, []
    for count in range(kills):
        await asyncio.sleep(moments.uniform(0.2, 2.5))
        before = await _report(what, place)
        if before["status"] == "completed":
            return count, complaints
        await asyncio.to_thread(what.kill, moments)
        after = await _report(what, place)
        if not done <= before["done"] <= after["done"]:
            complaints.append(f"done went from {before['done']} to {after['done']}")
        done = after["done"]
    return kills, complaints


async def _completed(what: One | Several, place: str) -> dict[str, Any]:
    async with asyncio.timeout(600):
        while True:
            report = await _report(what, place)
            if report["status"] == "completed":
                return report
            await asyncio.sleep(0.5)


def _wrong(items: int, lost: int, last: dict, rows: list[dict], counts: dict):
    ids = [each["result"]["id"] for each in rows if each["result"]]
    if len(rows) != items or len(set(ids)) != items:
        yield f"{len(rows)} items and {len(set(ids))} results instead of {items}"
    if last["done"] != items or last["counts"]["failed"]:
        yield f"{last['done']} are done, {last['counts']['failed']} of them failed"
    if counts["answered"] > items + lost:
        yield f"{counts['answered']} calls were answered, and {items + lost} could be"


def _told_twice(arrived: list[Arrival]) -> int:
    return len(arrived) - len({each.event_id for each in arrived})


def _wrongly_told(results: set[str], batch: str, twice: int, untold: int, arrived: list[Arrival]):
    told = dict.fromkeys((each.type, each.subject, each.event_id) for each in arrived)
    about = Counter(subject for kind, subject, _ in told if kind == "result.created")
    ended = [subject for kind, subject, _ in told if kind == "batch.completed"]
    if untold:
        yield f"{untold} deliveries or more are pending after {TOLD_WITHIN_S:.0f} s"
    if unheard := results - about.keys():
        yield f"{len(unheard)} results were not told"
    if unknown := about.keys() - results:
        yield f"{len(unknown)} were told that are none of the results"
    if anew := sum(count - 1 for count in about.values()):
        yield f"{anew} were told under two ids"
    if ended != [batch]:
        yield f"the end of the batch was told {len(ended)} times"
    if (found := _told_twice(arrived)) > twice:
        yield f"{found} were told twice, and {twice} could be"
    if refused := {each.refused for each in arrived if each.refused}:
        yield f"signatures are wrong: {', '.join(sorted(refused))}"


async def _register(url: str, receiver: str, secret: str) -> str:
    """Create a webhook and return its path."""
    async with httpx2.AsyncClient(timeout=30) as http:
        types = ["result.created", "batch.completed"]
        wanted = {"url": receiver, "event_types": types, "secret": secret}
        created = await http.post(f"{url}/webhooks", json=wanted)
        return created.headers["location"]


async def _told(what: One | Several, webhook: str) -> int:
    """Wait for deliveries; return how many on the first page of pending ones are left."""
    ends_at = asyncio.get_running_loop().time() + TOLD_WITHIN_S
    async with httpx2.AsyncClient(timeout=30) as http:
        while True:
            query = {"state": "pending"}
            page = (await http.get(f"{what.url}{webhook}/deliveries", params=query)).json()
            if not page["deliveries"] or asyncio.get_running_loop().time() > ends_at:
                return len(page["deliveries"])
            await asyncio.sleep(0.2)


async def _create(url: str, items: int) -> str:
    async with httpx2.AsyncClient(timeout=120) as http:
        created = await http.post(
            f"{url}/batches",
            data={"domain": "flowers"},
            files={"file": ("a.zip", archive(items))},
        )
        return created.headers["location"]


async def _report(what: One | Several, place: str) -> dict[str, Any]:
    async with httpx2.AsyncClient(timeout=30) as http:
        return (await http.get(f"{what.url}{place}")).json()


async def _rows(what: One | Several, place: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    async with httpx2.AsyncClient(timeout=60) as http:
        after: int | None = -1
        while after is not None:
            query = {"after": after, "limit": 1000}
            page = (await http.get(f"{what.url}{place}/items", params=query)).json()
            rows, after = rows + page["items"], page["next_after"]
    return rows


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--items", type=int, default=2_000)
    arguments.add_argument("--kills", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--several", action="store_true", help="on PostgreSQL and Redis")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(
            run(
                options.items,
                options.kills,
                options.seed,
                Path(folder),
                several=options.several,
            )
        )
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 1 if found["complaints"] else 0


if __name__ == "__main__":
    sys.exit(main())
