"""What it costs to make a picture ready, beside plain Pillow and beside libjpeg-turbo alone.

    python -m benchmarks.prepare [--parts costs,parallel,loop] [--json OUT]

`costs`: processor time, all in one run, in turns. "ours" is decoding, scaling and encoding; hashes
and quality checks are measured apart. `parallel`: two threads beside one, processes beside threads.
`loop`: how long the event loop is held up while 16 pictures are prepared.
"""

import asyncio
import io
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from app.images import ImageWorkers, PreparedImage, prepare
from app.images.fingerprint import difference_hash, sha256
from app.images.quality import measure, thumbnail
from benchmarks.report import Figure, parser, report
from tests.pictures import encoded, photograph

LONGEST = 512
QUALITY = 85
PARTS = ("costs", "parallel", "loop")
PARALLEL, LOOP = "parallel (12 MP JPEG a second)", "event loop, p99.9 ms"


def samples() -> dict[str, bytes]:
    return {
        "12 MP JPEG": encoded(photograph(4000, 3000), "JPEG", quality=90),
        "3 MP JPEG": encoded(photograph(2000, 1500), "JPEG", quality=90),
        "640 px JPEG": encoded(photograph(640, 480), "JPEG", quality=90),
        "4 MP PNG": encoded(photograph(2300, 1740), "PNG", compress_level=4),
        "3 MP WebP": encoded(photograph(2000, 1500), "WEBP", quality=85, method=2),
    }


def ours(data: bytes) -> PreparedImage:
    image = prepare(data, longest=LONGEST)
    _ = image.jpeg
    return image


def plain_pillow(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as file:
        picture = ImageOps.exif_transpose(file).convert("RGB")
    picture.thumbnail((LONGEST, LONGEST))
    return encoded(picture, "JPEG", quality=QUALITY)


def floor(data: bytes) -> bytes:
    """Only the scaled decoding and the encoding, which are needed in any case."""
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    share = LONGEST / max(height, width)
    least = {"min_height": round(height * share), "min_width": round(width * share)}
    pixels = simplejpeg.decode_jpeg(data, fastdct=False, **least)
    small = np.ascontiguousarray(pixels[: least["min_height"], : least["min_width"]])
    return simplejpeg.encode_jpeg(small, quality=QUALITY)


def apart(image: PreparedImage, data: bytes) -> None:
    """Only the hashes and quality checks."""
    sha256(data)
    small = thumbnail(image._decoded)
    difference_hash(small)
    measure(small, width=image.width, height=image.height, jpeg_quality=None)


def median_ms(rounds: int, **steps: Callable[[], object]) -> dict[str, float]:
    """Median processor time. Each step runs once per round, in turns: a slow moment affects all."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            began = time.process_time()
            step()
            seconds[name].append(time.process_time() - began)
    return {name: statistics.median(each) * 1000 for name, each in seconds.items()}


def costs(data: bytes, rounds: int) -> dict[str, float]:
    image = ours(data)
    steps: dict[str, Callable[[], object]] = {
        "with_checks": lambda: ours(data),
        "checks": lambda: apart(image, data),
        "pillow": lambda: plain_pillow(data),
    }
    if image.format == "JPEG":
        steps["floor"] = lambda: floor(data)
    found = median_ms(rounds, **steps)
    found["ours"] = found["with_checks"] - found["checks"]
    found["times_as_fast_as_pillow"] = found["pillow"] / found["ours"]
    if "floor" in found:
        found["of_the_floor"] = found["ours"] / found["floor"]
    return found


def per_second(pool: Executor, data: bytes, count: int) -> float:
    began = time.perf_counter()
    list(pool.map(jpeg_length, [data] * count))
    return count / (time.perf_counter() - began)


def jpeg_length(data: bytes) -> int:
    """A picture prepared in a process has to be sent back: its JPEG is."""
    return len(ours(data).jpeg)


def parallel(data: bytes, rounds: int, count: int) -> dict[str, float]:
    pools: dict[str, Executor] = {
        "one_thread": ThreadPoolExecutor(1),
        "two_threads": ThreadPoolExecutor(2),
        "two_processes": ProcessPoolExecutor(2),
    }
    rates: dict[str, list[float]] = {name: [] for name in pools}
    for _ in range(rounds):
        for name, pool in pools.items():
            rates[name].append(per_second(pool, data, count))
    for pool in pools.values():
        pool.shutdown()
    found = {name: statistics.median(each) for name, each in rates.items()}
    found["two_to_one"] = statistics.median(
        two / one for one, two in zip(rates["one_thread"], rates["two_threads"], strict=True)
    )
    return found


async def loop_delay(work: Callable[[], object] | None, seconds: float) -> float:
    """p99.9 of how late a callback runs, in ms, while 16 pictures are constantly in progress."""
    workers = ImageWorkers(2)
    late: list[float] = []
    until = time.perf_counter() + seconds

    async def prepare_on() -> None:
        while work is not None and time.perf_counter() < until:
            await workers.run(work)

    async def tick() -> None:
        while (began := time.perf_counter()) < until:
            await asyncio.sleep(0.001)
            late.append(time.perf_counter() - began - 0.001)

    await asyncio.gather(tick(), *(prepare_on() for _ in range(16)))
    workers.close()
    return sorted(late)[int(0.999 * len(late))] * 1000


def measured(parts: list[str], rounds: int) -> dict[str, Any]:
    pictures = samples()
    large = pictures["12 MP JPEG"]
    found: dict[str, Any] = {}
    if "costs" in parts:
        found |= {name: costs(data, rounds) for name, data in pictures.items()}
    if "parallel" in parts:
        found[PARALLEL] = parallel(large, rounds=5, count=24)
    if "loop" in parts:
        found[LOOP] = {
            "idle": asyncio.run(loop_delay(None, 10)),
            "16 under way": asyncio.run(loop_delay(lambda: ours(large), 10)),
        }
    return found


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    for name, each in found.items():
        for beside, kind in (("libjpeg-turbo alone", "floor"), ("plain Pillow", "pillow")):
            if kind in each:
                yield Figure(
                    name=f"{name} beside {beside}",
                    value=each["ours"],
                    unit="ms of CPU",
                    beside=beside,
                    beside_value=each[kind],
                )
    if PARALLEL in found:
        yield Figure(
            name="12 MP JPEGs in two threads",
            value=found[PARALLEL]["two_threads"],
            unit="a second",
            better="higher",
            beside="in one thread",
            beside_value=found[PARALLEL]["one_thread"],
        )
    if LOOP in found:
        yield Figure(
            name="delay of the event loop, 99.9th percentile, while 16 pictures are prepared",
            value=found[LOOP]["16 under way"],
            unit="ms",
            beside="while idle",
            beside_value=found[LOOP]["idle"],
        )


def main() -> None:
    arguments = parser(__doc__, rounds=15)
    arguments.add_argument("--parts", default=",".join(PARTS))
    options = arguments.parse_args()
    found = measured(options.parts.split(","), options.rounds)
    report(found, options, figures(found))


if __name__ == "__main__":
    main()
