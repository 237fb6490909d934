"""What it costs to list a folder of a store, page by page: of S3 and Azure's blobs, served by
another process, and of files.

    python -m benchmarks.listing [--objects 100000] [--json OUT]
"""

import multiprocessing
import os
import tempfile
import time
from bisect import bisect_right
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from app.storage import AllowedUris, ObjectStore
from benchmarks.report import Figure, parser, report
from tests import object_stores
from tests.process import Process


class Many(object_stores.Objects):
    """A store with this many names, and no folders."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._names = [f"in/{number:07}.jpg" for number in range(count)]

    def page(self, prefix: str, after: str, most: int) -> tuple[list[tuple[str, int]], bool]:
        first = bisect_right(self._names, after)
        page = self._names[first : first + most]
        return [(name, 1_000) for name in page], first + most < len(self._names)


def serve(kind: str, count: int, told: Connection) -> None:
    with getattr(object_stores, kind)(Many(count)) as served:
        told.send(served.url)
        time.sleep(3600)


def listed(uri: str) -> dict[str, float]:
    """For a folder whose store's library is already loaded."""
    objects = ObjectStore(AllowedUris.parse([uri]))
    next(objects.below(uri))
    process = Process(os.getpid())
    process.forget_peak()
    idle, began = process.megabytes("VmRSS"), time.perf_counter()
    count = sum(1 for _ in objects.below(uri))
    seconds = time.perf_counter() - began
    return {
        "objects": count,
        "seconds": round(seconds, 2),
        "peak_mb_over_idle": round(process.megabytes("VmHWM") - idle, 1),
    }


def of_store(kind: str, count: int) -> dict[str, float]:
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    server = spawn.Process(target=serve, args=(kind, count, there), daemon=True)
    server.start()
    try:
        os.environ.update(object_stores.environment(here.recv()))
        return listed(f"{'s3' if kind == 's3' else 'abfs'}://bucket/in/")
    finally:
        server.terminate()


def of_files(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        for number in range(count):
            (Path(name) / f"{number}.jpg").write_bytes(b"x")
        return listed(f"file://{name}/")


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    for kind, told in (("s3", "S3"), ("azure", "Azure")):
        yield Figure(
            name=f"{found[kind]['objects']:,} objects of {told}, served by this machine",
            value=found[kind]["seconds"],
            unit="s",
            beside="as many local files",
            beside_value=found["files"]["seconds"],
        )


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--objects", type=int, default=100_000)
    given = options.parse_args()
    found: dict[str, Any] = {kind: of_store(kind, given.objects) for kind in ("s3", "azure")}
    found["files"] = of_files(given.objects)
    report(found, given, figures(found))


if __name__ == "__main__":
    main()
