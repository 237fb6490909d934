"""How the work on a batch grows with the processes that share it, on a real PostgreSQL and a real
Redis: `python -m benchmarks.batch_workers [--items 4000] [--workers 1,2,4]`.

The provider answers after 50 ms and the pictures are prepared already. A process has so many
pictures under way that it does something over 100 a second.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from app.batches import BatchOptions
from app.cli.serve import settle_interpreter
from app.parts import build_parts
from app.settings import Settings, load_settings
from app.telemetry.logging import LoggingConfig, configure_logging
from benchmarks import instant
from benchmarks.batch import Prepared, rows
from benchmarks.instant import DELAY_S
from benchmarks.report import Figure, parser, report, run
from tests.shared_servers import SharedServers

IN_FLIGHT = 6
STARTED_WITHIN_S = 30.0


async def work() -> None:
    """The work of each process, until it is killed."""
    configure_logging(LoggingConfig(level="warning"))
    settle_interpreter()
    async with build_parts(load_settings(), serving=True) as parts:
        parts.classification._intake = Prepared(parts.classification._intake)
        await asyncio.Event().wait()


@contextmanager
def processes(count: int, variables: dict[str, str], folder: Path) -> Iterator[None]:
    environment = os.environ | variables | {"PYTHONPATH": f"{Path.cwd()}:{folder}"}
    command = [sys.executable, "-m", "benchmarks.batch_workers", "--work"]
    started = [subprocess.Popen(command, env=environment) for _ in range(count)]  # noqa: S603
    try:
        yield
    finally:
        for each in started:
            each.kill()
            each.wait()


async def measure(items: int, workers: int, shared: dict[str, str], folder: Path) -> float:
    """Items per second, from the moment all processes work to the last item."""
    settings = Settings(
        database_url=shared["DATABASE_URL"],
        redis_url=shared["REDIS_URL"],
        blobs_url=shared["BLOBS_URL"],
        webhooks={"encryption_keys": shared["WEBHOOKS_ENCRYPTION_KEYS"]},
        provider="delayed",
        work=False,
    )
    async with build_parts(settings, serving=True) as parts:
        batch = await parts.taking_in.take(
            BatchOptions(domain="flowers"), rows(items), caller="benchmark"
        )
        with processes(workers, shared, folder):
            working = 0
            async with asyncio.timeout(STARTED_WITHIN_S):
                while working < workers:
                    await asyncio.sleep(0.1)
                    working = await parts.runner._work.workers()
            began = time.perf_counter()
            await parts.runner.go_on(batch.id)
            while not batch.is_over:
                await asyncio.sleep(0.05)
                batch = await parts.batches.get(batch.id)
            took_s = time.perf_counter() - began
        if batch.failed:
            raise RuntimeError(f"{batch.failed} items failed")
    return items / took_s


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    for count, share in islice(found["of_linear"].items(), 1, None):
        yield Figure(
            name=f"items, {count} workers",
            value=found[count],
            unit="a second",
            better="higher",
            beside=f"{count} times one worker's",
            beside_value=found[count] / share,
        )


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--items", type=int, default=4_000, help="for each worker")
    arguments.add_argument("--workers", default="1,2,4")
    arguments.add_argument("--work", action="store_true", help="be one of the workers")
    options = arguments.parse_args()
    if options.work:
        run(work())
        return
    configure_logging(LoggingConfig(level="warning"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        instant.install(folder)
        sys.path.insert(0, name)
        found: dict[str, Any] = {}
        with closing(SharedServers(folder)) as servers:
            for count in map(int, options.workers.split(",")):
                shared = servers.variables | {
                    "DATABASE_URL": servers.postgres.url(servers.postgres.new_database()),
                    "PROVIDER": "delayed",
                    "RATE_LIMIT_RPM": "1000000",
                    "BATCH_IN_FLIGHT": str(IN_FLIGHT),
                    "IMAGE_WORKERS": "1",
                }
                found[str(count)] = asyncio.run(
                    measure(options.items * count, count, shared, folder)
                )
        first = next(iter(found))
        found["of_linear"] = {
            count: rate / (found[first] / int(first) * int(count)) for count, rate in found.items()
        }
        found["could_be_per_worker"] = IN_FLIGHT / DELAY_S
    report(found, options, figures(found))


if __name__ == "__main__":
    main()
