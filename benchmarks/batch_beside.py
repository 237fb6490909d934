"""People beside a batch: `python -m benchmarks.batch_beside [--items 2000] [--seconds 90]`.

A simulator with a quota of 1,200 calls a minute, a real service, a batch that would spend it all,
and requests that come at random and take a fifth of it. Told is how long these waited for their
turn, and how much of the quota was spent on answers.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.load import percentile
from benchmarks.quota import Case, Simulator
from benchmarks.quota_clients import DEPLOYMENT
from benchmarks.report import Figure, parser, report, run
from tests.crash import archive
from tests.pictures import encoded, photograph
from tests.service import RunningService

RPM = 1_200
PEOPLE = 0.2
"""Share of the quota."""
BEHAVIOUR = {"latency": {"mean_s": 0.9, "p95_s": 1.7, "floor_s": 0.3}}
SETTLED_S = 10.0
"""Time for the batch to take up the quota."""


async def ask(http: httpx2.AsyncClient, number: int) -> float:
    """Return the seconds waited for the quota."""
    picture = encoded(photograph(200 + number % 100, 100 + number // 100), "JPEG")
    answer = await http.post(
        "/classify", data={"domain": "flowers"}, files={"file": ("a.jpg", picture)}
    )
    answer.raise_for_status()
    return float(answer.json()["timings_ms"]["wait"]) / 1000


async def measure(items: int, seconds: float, folder: Path) -> dict[str, Any]:
    moments = random.Random(0)  # noqa: S311
    simulator = Simulator(Case(rpm=RPM, behaviour=BEHAVIOUR))
    service = RunningService(
        folder,
        AZURE_OPENAI_ENDPOINT=simulator.url,
        AZURE_OPENAI_API_KEY="any",
        AZURE_OPENAI_DEPLOYMENT=DEPLOYMENT,
        RATE_LIMIT_RPM=str(RPM),
    )
    try:
        async with httpx2.AsyncClient(base_url=service.url, timeout=120) as http:
            created = await http.post(
                "/batches",
                data={"domain": "flowers"},
                files={"file": ("a.zip", await asyncio.to_thread(archive, items))},
            )
            place = created.headers["location"]
            await asyncio.sleep(SETTLED_S)
            before, began = (await http.get(place)).json()["done"], time.monotonic()
            asked: list[asyncio.Task[float]] = []
            while time.monotonic() < began + seconds:
                asked.append(asyncio.create_task(ask(http, len(asked))))
                await asyncio.sleep(moments.expovariate(PEOPLE * RPM / 60))
            waits = await asyncio.gather(*asked)
            took_s = time.monotonic() - began
            after = (await http.get(place)).json()
    finally:
        service.stop()
        simulator.stop()
    return {
        "batch": after["status"],
        "requests": len(waits),
        "wait_p50_s": percentile(waits, 0.5),
        "wait_p95_s": percentile(waits, 0.95),
        "wait_max_s": max(waits),
        "of_quota": (len(waits) + after["done"] - before) / took_s / (RPM / 60),
    }


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    yield Figure(
        name="wait for quota beside a batch, 95th percentile, interactive requests",
        value=found["wait_p95_s"],
        unit="s",
        beside="between two calls at this quota",
        beside_value=60 / RPM,
    )
    yield Figure(
        name="quota spent meanwhile",
        value=found["of_quota"],
        unit="%",
        better="higher",
        beside="all of it",
        beside_value=1.0,
    )


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--items", type=int, default=2_000)
    arguments.add_argument("--seconds", type=float, default=90)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = run(measure(options.items, options.seconds, Path(name)))
    report(found, options, figures(found))


if __name__ == "__main__":
    main()
