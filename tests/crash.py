"""A batch against a simulator that fails one call in twenty, while what works on it is killed again
and again: `python -m tests.crash [--several] [--items 2000] [--kills 20]`.

One process on SQLite, or, with `--several`, two that serve and two workers on PostgreSQL and Redis,
where any of them is killed, or Redis with all that it knew. In the end every item has one result,
and no more was paid than for the items and for what was in flight when something died.
"""

import argparse
import asyncio
import io
import json
import random
import signal
import sys
import tempfile
import zipfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.quota import Case, Simulator
from benchmarks.quota_clients import DEPLOYMENT
from tests.pictures import encoded, photograph
from tests.postgres_server import PostgresServer
from tests.redis_server import RedisServer
from tests.service import RunningService

IN_FLIGHT = 64
UNCOMMITTED = 4 * 10
"""Answers of four shards that wait to be committed, ten each."""

RPM, RPM_OF_SEVERAL = 6_000, 1_200
"""Several work on while one is killed: slowly enough that there is something left to do."""

BEHAVIOUR = {
    "latency": {"mean_s": 0.3, "p95_s": 0.6, "floor_s": 0.1},
    "faults": [{"kind": "error_500", "share": 0.03}, {"kind": "reset", "share": 0.02}],
}


def archive(count: int) -> bytes:
    """Each picture another one."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as packed:
        for number in range(count):
            picture = photograph(64 + number % 64, 64 + number // 64)
            packed.writestr(f"{number}.jpg", encoded(picture, "JPEG"))
    return held.getvalue()


class One:
    """Serves and works."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self._service = RunningService(folder, **variables)
        self.lost = 0
        """Calls that were in flight, or not committed, at most."""

    @property
    def url(self) -> str:
        return self._service.url

    def kill(self, moments: random.Random) -> None:
        self._service.stop(signal.SIGKILL)
        self.lost += IN_FLIGHT + UNCOMMITTED
        self._service.start()

    def stop(self) -> None:
        if self._service.process.poll() is None:
            self._service.stop()


class Several:
    """Two that serve, one of which only that, and two workers."""

    COMMANDS = (("serve", "on"), ("serve", "off"), ("worker", "on"), ("worker", "on"))

    def __init__(self, folder: Path, **variables: str) -> None:
        (folder / "postgres").mkdir()
        (folder / "redis").mkdir()
        self._postgres = PostgresServer(folder / "postgres")
        self._redis = RedisServer(folder / "redis")
        shared = {
            "DATABASE_URL": self._postgres.url(self._postgres.new_database()),
            "REDIS_URL": self._redis.url,
            "BLOBS_URL": f"file://{folder}/blobs",
        }
        self._services = []
        for number, (command, work) in enumerate(self.COMMANDS):
            own = folder / f"{number}-{command}"
            own.mkdir()
            self._services.append(RunningService(own, command, **shared, **variables, WORK=work))
        self.lost = 0

    @property
    def url(self) -> str:
        """Of one that lives."""
        return next(each.url for each in self._services if each.command == "serve")

    def kill(self, moments: random.Random) -> None:
        number = moments.randrange(len(self._services) + 1)
        if number == len(self._services):
            self._redis.kill()
            self._redis.start()
            # Whoever works is not known any more, and its shards are given to others.
            self.lost += len(self._services) * (IN_FLIGHT + UNCOMMITTED)
            return
        service = self._services[number]
        service.stop(signal.SIGKILL)
        self.lost += IN_FLIGHT + UNCOMMITTED
        service.start()

    def stop(self) -> None:
        for each in self._services:
            if each.process.poll() is None:
                each.stop(signal.SIGKILL)
        self._redis.kill()
        self._postgres.stop()


async def run(
    items: int, kills: int, seed: int, folder: Path, *, several: bool = False
) -> dict[str, Any]:
    """What was found; `complaints` is empty when all is well."""
    moments = random.Random(seed)
    rpm = RPM_OF_SEVERAL if several else RPM
    async with AsyncExitStack() as stack:
        simulator = await asyncio.to_thread(Simulator, Case(rpm=rpm, behaviour=BEHAVIOUR))
        stack.callback(simulator.stop)
        killed = await asyncio.to_thread(
            Several if several else One,
            folder,
            AZURE_OPENAI_ENDPOINT=simulator.url,
            AZURE_OPENAI_API_KEY="any",
            AZURE_OPENAI_DEPLOYMENT=DEPLOYMENT,
            RATE_LIMIT_RPM=str(rpm),
        )
        stack.callback(killed.stop)
        place = await _create(killed.url, items)
        count, complaints = await _kill(killed, place, kills, moments)
        last = await _completed(killed, place)
        rows = await _rows(killed, place)
        counts = simulator.counts()
    return {
        "items": items,
        "kills": count,
        "failed": last["counts"]["failed"],
        "answered": counts["answered"],
        "paid_twice": counts["answered"] - items,
        "could_be": killed.lost,
        "complaints": complaints + list(_wrong(items, killed.lost, last, rows, counts)),
    }


async def _kill(
    what: One | Several, place: str, kills: int, moments: random.Random
) -> tuple[int, list[str]]:
    """How often, and what was wrong with the progress meanwhile."""
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
