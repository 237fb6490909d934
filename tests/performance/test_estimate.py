"""The memory that a dry run of a large batch takes."""

import os
from collections.abc import Iterator

from app.batches import BatchOptions
from app.batches.rows import Row
from tests.pictures import jpeg
from tests.process import Process

HELD_MB = 100


async def test_a_million_rows_are_not_held(parts):
    """Only 8 bytes per item are kept; everything else is a group of rows, and the sample."""
    process = Process(os.getpid())
    options = BatchOptions(domain="flowers", provider="fake")
    rows = (Row("", f"http://127.0.0.1:9/{number}.jpg") for number in range(1_000_000))
    await parts.estimator.estimate(options, iter([Row("", jpeg())]), caller="test")
    process.forget_peak()
    before = process.megabytes("VmRSS")
    estimate = await parts.estimator.estimate(options, rows, caller="test")

    assert (estimate.items, estimate.sampled) == (1_000_000, 100)
    assert process.megabytes("VmHWM") - before < HELD_MB


async def test_uploads_are_not_held(parts):
    """Two gigabytes of them are streamed."""
    picture = jpeg(900, 600, quality=95)
    count = 2_000_000_000 // len(picture)

    def pictures() -> Iterator[Row]:
        for number in range(count):
            yield Row("", picture + number.to_bytes(8, "big"))

    process = Process(os.getpid())
    process.forget_peak()
    before = process.megabytes("VmRSS")
    estimate = await parts.estimator.estimate(
        BatchOptions(domain="flowers", provider="fake"), pictures(), caller="test"
    )

    assert (estimate.items, estimate.sampled, estimate.unreadable) == (count, 100, 0)
    assert process.megabytes("VmHWM") - before < HELD_MB + 100
