"""Batches end to end, with a provider that answers at once and pictures that are prepared already:
what the service itself costs, beside a plain executemany of the same rows.

    python -m benchmarks.batch [--items 10000,100000] [--json OUT]
"""

import asyncio
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from app.batches import BatchOptions
from app.batches.rows import Row
from app.classification.intake import Intake, Picture
from app.cli.serve import settle_interpreter
from app.images import prepare
from app.parts import Parts, build_parts
from app.result import ImageFacts
from app.settings import Settings
from app.telemetry.logging import LoggingConfig, configure_logging
from benchmarks import instant
from benchmarks.load import percentile
from benchmarks.report import Figure, parser, report, run
from tests.pictures import encoded, photograph

POLLED_EVERY_S = 0.1


class Prepared(Intake):
    """Every item uses the same pixels, but counts as a different picture."""

    def __init__(self, real: Intake) -> None:
        self.is_metered = real.is_metered
        self._image = prepare(encoded(photograph(512, 384), "JPEG"), longest=512, encode=True)
        self._image.let_go()
        width, height = self._image.size
        self._facts = ImageFacts(
            sha256=self._image.sha256,
            format="JPEG",
            width=width,
            height=height,
            bytes=self._image.bytes,
            warnings=[],
        )

    async def take(self, question: Any, domain: Any, names: Any, stopwatch: Any) -> Picture:
        digest = sha256(question.source.url.encode()).hexdigest()
        facts = self._facts.model_copy(update={"sha256": digest})
        return Picture(facts, {names[0]: digest}, {names[0]: ""}, self._image, [])

    async def let_go(self, picture: Picture) -> None:
        return

    async def look_ahead(self, digests: Any, domain: Any, names: Any) -> None:
        return


def rows(count: int) -> Iterator[Row]:
    for number in range(count):
        yield Row(f"line {number}", f"https://example.org/{number}.jpg", f"item-{number}")


async def measure(count: int, folder: Path) -> dict[str, Any]:
    settings = Settings(
        database_url=f"sqlite:///{folder}/{count}.db", provider="instant", image_workers=2
    )
    async with build_parts(settings, serving=True) as parts:
        parts.classification._intake = Prepared(parts.classification._intake)
        began, idle, held = time.perf_counter(), time.process_time(), _most_held_mb()
        options = BatchOptions(domain="flowers")
        batch = await parts.taking_in.take(options, rows(count), caller="benchmark")
        accepted_s = time.perf_counter() - began
        await parts.runner.go_on(batch.id)
        began, queries = time.perf_counter(), []
        found = batch
        while not found.is_over:
            await asyncio.sleep(POLLED_EVERY_S)
            found = await _asked(parts, batch.id, queries)
        took_s, cpu_s = time.perf_counter() - began, time.process_time() - idle
    return {
        "items": count,
        "accepted_s": accepted_s,
        "items_per_s": count / took_s,
        "cpu_ms_per_item": cpu_s / count * 1000,
        "done": found.done,
        "progress_query_p99_ms": percentile(queries, 0.99) * 1000,
        "peak_rss_mb": _most_held_mb(),
        "rss_before_mb": held,
    }


def _most_held_mb() -> float:
    """Peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def _asked(parts: Parts, batch_id: str, queries: list[float]) -> Any:
    began = time.perf_counter()
    batch = await parts.batches.get(batch_id)
    queries.append(time.perf_counter() - began)
    return batch


def floor(database: Path, copy: Path) -> dict[str, float]:
    """The same results, inserted by a plain executemany into the same table."""
    with sqlite3.connect(database) as source, sqlite3.connect(copy) as target:
        (schema,) = source.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'results'"
        ).fetchone()
        target.execute("PRAGMA journal_mode=WAL")
        target.execute("PRAGMA synchronous=NORMAL")
        target.execute(schema)
        for (index,) in source.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name = 'results' AND type = 'index' AND sql"
            " IS NOT NULL"
        ):
            target.execute(index)
        found = source.execute("SELECT * FROM results").fetchall()
        marks = ",".join("?" * len(found[0]))
        began, idle = time.perf_counter(), time.process_time()
        target.executemany(f"INSERT INTO results VALUES ({marks})", found)  # noqa: S608
        target.commit()
        took_s, cpu_s = time.perf_counter() - began, time.process_time() - idle
    return {
        "floor_rows_per_s": len(found) / took_s,
        "floor_cpu_ms_per_row": cpu_s / len(found) * 1000,
    }


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    for count, each in found.items():
        yield Figure(
            name=f"CPU time of an item, of {int(count):,}",
            value=each["cpu_ms_per_item"],
            unit="ms",
            beside="executemany of the same rows",
            beside_value=each["floor_cpu_ms_per_row"],
        )
        yield Figure(
            name=f"items, of {int(count):,}",
            value=each["items_per_s"],
            unit="a second",
            better="higher",
            beside="executemany of the same rows",
            beside_value=each["floor_rows_per_s"],
            of_clock=True,
        )
        yield Figure(
            name=f"peak memory, batch of {int(count):,}",
            value=each["peak_rss_mb"],
            unit="MB",
            beside="before the batch",
            beside_value=each["rss_before_mb"],
        )


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--items", default="10000,100000")
    options = arguments.parse_args()
    configure_logging(LoggingConfig(level="warning"))
    settle_interpreter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        instant.install(folder)
        sys.path.insert(0, name)
        found: dict[str, Any] = {}
        for count in map(int, options.items.split(",")):
            taken = run(measure(count, folder))
            least = floor(folder / f"{count}.db", folder / f"{count}-copy.db")
            found[str(count)] = taken | least
    report(found, options, figures(found))


if __name__ == "__main__":
    main()
