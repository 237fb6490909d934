"""A batch against a simulator that fails one call in twenty, and a service that is killed again and
again: `python -m tests.crash [--items 2000] [--kills 20]`.

In the end every item has one result, and no more was paid than for the items and for what was in
flight when it died.
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
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.quota import Case, Simulator
from benchmarks.quota_clients import DEPLOYMENT
from tests.pictures import encoded, photograph
from tests.service import RunningService

IN_FLIGHT = 64
UNCOMMITTED = 4 * 10
"""Answers of four shards that wait to be committed, ten each."""

RPM = 6_000
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


async def run(items: int, kills: int, seed: int, folder: Path) -> dict[str, Any]:
    """What was found; `complaints` is empty when all is well."""
    moments = random.Random(seed)
    simulator = await asyncio.to_thread(Simulator, Case(rpm=RPM, behaviour=BEHAVIOUR))
    service = RunningService(
        folder,
        AZURE_OPENAI_ENDPOINT=simulator.url,
        AZURE_OPENAI_API_KEY="any",
        AZURE_OPENAI_DEPLOYMENT=DEPLOYMENT,
        RATE_LIMIT_RPM=str(RPM),
    )
    try:
        place = await _create(service, items)
        done, killed = 0, 0
        complaints: list[str] = []
        while killed < kills:
            await asyncio.sleep(moments.uniform(0.2, 2.5))
            before = await _report(service, place)
            if before["status"] == "completed":
                break
            await asyncio.to_thread(service.stop, signal.SIGKILL)
            killed += 1
            await asyncio.to_thread(service.start)
            after = await _report(service, place)
            if not done <= before["done"] <= after["done"]:
                complaints.append(f"done went from {before['done']} to {after['done']}")
            done = after["done"]
        last = await _completed(service, place)
        rows = await _rows(service, place)
        counts = simulator.counts()
    finally:
        if service.process.poll() is None:
            service.stop()
        simulator.stop()
    return {
        "items": items,
        "kills": killed,
        "failed": last["counts"]["failed"],
        "answered": counts["answered"],
        "paid_twice": counts["answered"] - items,
        "complaints": complaints + list(_wrong(items, killed, last, rows, counts)),
    }


async def _completed(service: RunningService, place: str) -> dict[str, Any]:
    async with asyncio.timeout(600):
        while True:
            report = await _report(service, place)
            if report["status"] == "completed":
                return report
            await asyncio.sleep(0.5)


def _wrong(items: int, kills: int, last: dict, rows: list[dict], counts: dict):
    ids = [each["result"]["id"] for each in rows if each["result"]]
    if len(rows) != items or len(set(ids)) != items:
        yield f"{len(rows)} items and {len(set(ids))} results instead of {items}"
    if last["done"] != items or last["counts"]["failed"]:
        yield f"{last['done']} are done, {last['counts']['failed']} of them failed"
    most = items + kills * (IN_FLIGHT + UNCOMMITTED)
    if counts["answered"] > most:
        yield f"{counts['answered']} calls were answered, and {most} could be"


async def _create(service: RunningService, items: int) -> str:
    async with httpx2.AsyncClient(timeout=120) as http:
        created = await http.post(
            f"{service.url}/batches",
            data={"domain": "flowers"},
            files={"file": ("a.zip", archive(items))},
        )
        return created.headers["location"]


async def _report(service: RunningService, place: str) -> dict[str, Any]:
    async with httpx2.AsyncClient(timeout=30) as http:
        return (await http.get(f"{service.url}{place}")).json()


async def _rows(service: RunningService, place: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    async with httpx2.AsyncClient(timeout=60) as http:
        after: int | None = -1
        while after is not None:
            query = {"after": after, "limit": 1000}
            page = (await http.get(f"{service.url}{place}/items", params=query)).json()
            rows, after = rows + page["items"], page["next_after"]
    return rows


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--items", type=int, default=2_000)
    arguments.add_argument("--kills", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(run(options.items, options.kills, options.seed, Path(folder)))
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 1 if found["complaints"] else 0


if __name__ == "__main__":
    sys.exit(main())
