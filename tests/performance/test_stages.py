"""The cost of one picture, stage by stage: `pytest tests/performance --benchmark-only`.

The figures are for comparisons on one machine in one run; benchmarks/ measures the whole service.
"""

import asyncio
import math
from datetime import UTC, datetime

import numpy as np
import pytest

from app.errors import ProviderUnavailable
from app.identifiers import new_id
from app.images import prepare
from app.providers.codes import Token, codes, read_distribution
from app.providers.local.model import CROP, SIDE, EfficientNetLite
from app.result import Result
from app.storage import Database, Outbox, ResultFilter, ResultRepository, migrate
from app.traffic.retry import RetryPolicy, decide_retry
from tests.conftest import PHOTOGRAPHS


@pytest.fixture(scope="module")
def photograph():
    return (PHOTOGRAPHS / "rose.jpg").read_bytes()


def test_prepare(benchmark, photograph):
    """From bytes to upright pixels."""
    image = benchmark(prepare, photograph, longest=512)

    assert image.size == (320, 240)


def test_encode(benchmark, photograph):
    """The JPEG for a remote model; the local one never asks for it."""
    jpeg = benchmark(lambda: prepare(photograph, longest=512).jpeg)

    assert jpeg[:2] == b"\xff\xd8"


def test_local_model(benchmark, photograph):
    """One run of the embedded model, on one core."""
    model = EfficientNetLite()
    pixels = np.asarray(prepare(photograph, longest=512).square(SIDE, CROP))

    prediction = benchmark(model.run, pixels)

    assert prediction.probabilities.sum() == pytest.approx(1, abs=0.01)


def test_read_distribution(benchmark):
    """With twenty alternatives of the code token."""
    names = codes(20)
    tops = [(name.encode(), math.log(0.05)) for name in names]
    tokens = [Token(b'{"label":"', [(b'{"label":"', 0.0)]), Token(b"A", tops)]

    found = benchmark(read_distribution, tokens, names, field="label")

    assert found is not None


def test_decide_retry(benchmark):
    decision = benchmark(
        decide_retry,
        ProviderUnavailable("503"),
        attempt=1,
        elapsed_s=0.0,
        policy=RetryPolicy(),
        jitter=0.5,
    )

    assert decision.seconds == 0.5


def test_store_a_hundred_results(benchmark, tmp_path):
    """A burst in a file database, committed together."""
    database = Database(f"sqlite:///{tmp_path}/app.db")
    results = ResultRepository(database, Outbox(database, None))

    def row() -> Result:
        now = datetime.now(UTC)
        return Result(
            id=new_id("cls", now),
            domain="flowers",
            domain_version="1",
            status="accepted",
            caller="test",
            created_at=now,
        )

    async def burst() -> None:
        await asyncio.gather(*(results.insert(row()) for _ in range(100)))

    with asyncio.Runner() as runner:
        runner.run(migrate(database))
        benchmark(lambda: runner.run(burst()))
        stored = runner.run(results.page(ResultFilter(), before=None, limit=101))
        runner.run(database.close())

    assert len(stored) >= 100
