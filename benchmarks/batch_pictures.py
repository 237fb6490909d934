"""A batch of real pictures beside preparing them alone, in one process, in turns:
`python -m benchmarks.batch_pictures [--pictures 2000] [--rounds 3]`.

JPEGs of 640 px, each another one, wait in the blob store as uploads do; the provider answers at
once.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.batches import BatchOptions
from app.batches.rows import Row
from app.cli.serve import settle_interpreter
from app.images import ImageWorkers, prepare
from app.parts import Parts, build_parts
from app.settings import Settings
from app.telemetry.logging import LoggingConfig, configure_logging
from benchmarks import instant
from benchmarks.report import Figure, parser, report, run
from tests.pictures import encoded, photograph

AT_ONCE = 8


def pictures(count: int, salt: int) -> Iterator[bytes]:
    """No two alike, and none known from an earlier round."""
    pixels = np.asarray(photograph(640, 480))
    for number in range(salt * count, (salt + 1) * count):
        moved = np.roll(pixels, (number * 37 % 480, number // 480 * 101 % 640), axis=(0, 1))
        yield encoded(Image.fromarray(moved), "JPEG", quality=90)


async def alone(data: list[bytes], threads: int) -> float:
    """Pictures per second."""
    workers = ImageWorkers(threads)
    room = asyncio.Semaphore(AT_ONCE)

    async def one(each: bytes) -> None:
        async with room:
            await workers.take(prepare, each, longest=512, encode=True)

    began = time.perf_counter()
    await asyncio.gather(*map(one, data))
    took_s = time.perf_counter() - began
    workers.close()
    return len(data) / took_s


async def batch(parts: Parts, data: list[bytes], size: int) -> float:
    """Pictures per second, from the first to the last result."""
    rows = (Row(str(number), each, str(number)) for number, each in enumerate(data))
    made = await parts.taking_in.take(
        BatchOptions(domain="flowers", batch_size=size), rows, caller="benchmark"
    )
    await parts.runner.go_on(made.id)
    found = made
    while not found.is_over:
        await asyncio.sleep(0.25)
        found = await parts.batches.get(made.id)
    if found.failed or not (found.started_at and found.completed_at):
        raise RuntimeError(f"{found.failed} pictures failed")
    return len(data) / (found.completed_at - found.started_at).total_seconds()


async def measure(count: int, rounds: int, size: int, folder: Path) -> dict[str, Any]:
    settings = Settings(
        database_url=f"sqlite:///{folder}/app.db", provider="instant", image_workers=3
    )
    both: list[tuple[float, float]] = []
    async with build_parts(settings, serving=True) as parts:
        for number in range(rounds + 1):
            data = list(pictures(count, number))
            both.append((await alone(data, settings.image_workers), await batch(parts, data, size)))
    measured = both[1:]  # the first warms up
    return {
        "alone_per_s": statistics.median(each for each, _ in measured),
        "batch_per_s": statistics.median(each for _, each in measured),
        "ratio": statistics.median(whole / alone for alone, whole in measured),
        "ratios": [whole / alone for alone, whole in measured],
    }


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    yield Figure(
        name="JPEGs of 640 px",
        value=found["batch_per_s"],
        unit="a second",
        better="higher",
        beside="preparing them alone",
        beside_value=found["alone_per_s"],
    )


def main() -> None:
    arguments = parser(__doc__, rounds=3)
    arguments.add_argument("--pictures", type=int, default=2_000)
    arguments.add_argument("--batch-size", type=int, default=10)
    options = arguments.parse_args()
    configure_logging(LoggingConfig(level="warning"))
    settle_interpreter()
    with tempfile.TemporaryDirectory() as name:
        instant.install(Path(name))
        sys.path.insert(0, name)
        found = run(measure(options.pictures, options.rounds, options.batch_size, Path(name)))
    report(found, options, figures(found))


if __name__ == "__main__":
    main()
