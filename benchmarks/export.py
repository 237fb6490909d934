"""Exports beside a bare cursor and csv writer over the same rows, in turns, and what they hold:

python -m benchmarks.export [--rows 200000] [--formats csv,jsonl] [--rounds 3] [--json OUT]
"""

import asyncio
import csv
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.cli.serve import settle_interpreter
from app.exports import Layout, choose, fields, find_format, reading, write
from app.identifiers import RESULT, new_id
from app.image_quality import Quality
from app.result import ImageFacts, Result, Timings, Usage
from app.storage import (
    Database,
    ExportRepository,
    Outbox,
    ResultFilter,
    ResultRepository,
    migrate,
)
from app.storage.results import row_of
from app.storage.tables import results
from benchmarks.report import Figure, parser, report, run

INSERTED_AT_ONCE = 5_000
MEBIBYTE = 1 << 20
PAGE = os.sysconf("SC_PAGE_SIZE")


def result(number: int) -> Result:
    """With as many fields as the service's own results."""
    digest = sha256(str(number).encode()).hexdigest()
    now = datetime.now(UTC)
    return Result(
        id=new_id(RESULT),
        domain="flowers",
        predicted_class="rose",
        confidence=0.916673,
        probabilities={"dandelion": 0.01754, "rose": 0.91667, "sunflower": 0.0025, "daisy": 0.0035},
        status="accepted",
        confidence_source="logprobs",
        provider="azure_openai",
        model="gpt-4o-2024-11-20",
        deployment="gpt-4o",
        image=ImageFacts(
            sha256=digest,
            format="JPEG",
            width=640,
            height=427,
            bytes=91_234 + number % 1_000,
            phash=digest[:16],
            prepared_width=512,
            prepared_height=342,
            tokens=85,
            quality=Quality(
                sharpness=1.13,
                brightest=0.91,
                clipped=0.02,
                contrast=0.84,
                long_side=640,
                aspect=1.5,
                jpeg_quality=88,
            ),
            warnings=[],
        ),
        usage=Usage(prompt_tokens=214, completion_tokens=5, cost_usd=Decimal("0.000585")),
        timings_ms=Timings(fetch=0.02, prepare=4.1, wait=0.0, provider=812.4, total=817.3),
        metadata={"order": f"A-{number}", "weight_g": number % 500},
        caller="benchmark",
        domain_version="0f3b1c2d4e5f",
        provider_request_id=digest[:32],
        created_at=now,
        completed_at=now,
    )


async def fill(database: Database, count: int) -> None:
    for first in range(0, count, INSERTED_AT_ONCE):
        rows = [row_of(result(first + number)) for number in range(INSERTED_AT_ONCE)]

        def unit(connection: sa.Connection, rows: list[dict[str, Any]] = rows) -> None:
            connection.execute(sa.insert(results), rows)

        await database.write(unit)


def resident() -> float:
    """Resident memory in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / MEBIBYTE


@dataclass(frozen=True)
class Taken:
    """Wall-clock and processor seconds, and the peak memory above what was held before."""

    s: float
    cpu_s: float
    mib: float = 0.0


async def ours(exports: ExportRepository, name: str, path: Path) -> Taken:
    columns, idle, most = choose([]), resident(), 0.0
    began, busy = time.perf_counter(), time.process_time()
    with path.open("wb") as file:
        pages = exports.results(ResultFilter(), fields(columns))
        row = reading(columns)
        async for chunk in write(pages, find_format(name), Layout(columns), row=row):
            file.write(chunk)
            most = max(most, resident() - idle)
    return Taken(time.perf_counter() - began, time.process_time() - busy, most)


def bare(database: Path, path: Path) -> Taken:
    """The minimal code that writes all columns of all rows, in the same order."""
    began, busy = time.perf_counter(), time.process_time()
    connection = sqlite3.connect(database)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(connection.execute("SELECT * FROM results ORDER BY id DESC"))
    connection.close()
    return Taken(time.perf_counter() - began, time.process_time() - busy)


async def measure(count: int, names: list[str], rounds: int, folder: Path) -> dict[str, Any]:
    place = folder / "app.db"
    database = Database(f"sqlite:///{place}")
    await migrate(database)
    await fill(database, count)
    exports = ExportRepository(database, ResultRepository(database, Outbox(database, None)))
    found: dict[str, Any] = {"rows": count}
    for name in names:
        measured = [
            (
                await ours(exports, name, folder / "ours"),
                await asyncio.to_thread(bare, place, folder / "bare"),
            )
            for _ in range(rounds)
        ]
        found[name] = {
            "rows_per_s": round(count / statistics.median(each.s for each, _ in measured)),
            "bare_rows_per_s": round(count / statistics.median(least.s for _, least in measured)),
            "of_bare": round(statistics.median(least.s / each.s for each, least in measured), 2),
            "cpu_us_a_row": min(each.cpu_s for each, _ in measured) / count * 1e6,
            "bare_cpu_us_a_row": min(least.cpu_s for _, least in measured) / count * 1e6,
            "mib_over_idle": round(max(each.mib for each, _ in measured), 1),
            "file_mib": round((folder / "ours").stat().st_size / MEBIBYTE, 1),
            "bytes_a_row": round((folder / "ours").stat().st_size / count),
        }
    await database.close()
    return found


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    for name, each in found.items():
        if name == "rows":
            continue
        yield Figure(
            name=f"{name}, CPU time of a row",
            value=each["cpu_us_a_row"],
            unit="us",
            beside="a bare cursor and csv writer",
            beside_value=each["bare_cpu_us_a_row"],
        )
        yield Figure(
            name=f"{name}, rows",
            value=each["rows_per_s"],
            unit="a second",
            better="higher",
            beside="a bare cursor and csv writer",
            beside_value=each["bare_rows_per_s"],
            of_clock=True,
        )
        yield Figure(
            name=f"{name}, memory above idle",
            value=each["mib_over_idle"],
            unit="MiB",
            beside="size of the file",
            beside_value=each["file_mib"],
        )


def main() -> None:
    arguments = parser(__doc__, rounds=3)
    arguments.add_argument("--rows", type=int, default=200_000)
    arguments.add_argument("--formats", default="csv,jsonl")
    options = arguments.parse_args()
    settle_interpreter()
    with tempfile.TemporaryDirectory() as name:
        work = measure(options.rows, options.formats.split(","), options.rounds, Path(name))
        found = run(work)
    report(found, options, figures(found))


if __name__ == "__main__":
    main()
