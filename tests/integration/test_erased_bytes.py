"""What is erased leaves SQLite's write-ahead log, too."""

import asyncio
import sqlite3
import time
from contextlib import closing

import pytest

from app.parts import build_parts
from app.storage.audit import By
from app.storage.erasures import EMPTIED_WITHIN_MS
from tests.integration.calls import store
from tests.integration.test_erasure import in_bytes

BY = By("boss", "req-1")


@pytest.fixture
def settings(settings, tmp_path):
    return settings.model_copy(update={"database_url": f"sqlite:///{tmp_path}/app.db"})


async def test_while_somebody_reads_it_stays_and_nobody_waits_for_long(settings, tmp_path):
    async with build_parts(settings) as parts:
        erased = await store(parts)
        with closing(sqlite3.connect(tmp_path / "app.db")) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM results").fetchone()
            await parts.erasing.result(erased, caller=None, by=BY)
            looking = asyncio.create_task(parts.erasing.look())
            began = time.monotonic()
            await store(parts, 1)
            waited_s = time.monotonic() - began
            await looking
            held = in_bytes(tmp_path, [erased])
            reader.execute("ROLLBACK")
        await parts.erasing.look()
        left = in_bytes(tmp_path, [erased])

    assert held == [erased]
    assert waited_s < 5 + EMPTIED_WITHIN_MS / 1000
    assert left == []


async def test_what_a_shell_erased_beside_a_service(settings, tmp_path):
    """It leaves nothing to the service, which knows nothing of it."""
    async with build_parts(settings, serving=True) as service:
        erased = await store(service)
        before = in_bytes(tmp_path, [erased])
        async with build_parts(settings) as shell:
            await shell.erasing.result(erased, caller=None, by=BY)
        left = in_bytes(tmp_path, [erased])

    assert before == [erased]
    assert left == []


async def test_what_a_killed_process_left(settings, tmp_path):
    """The next one looks, whatever it knows."""
    async with build_parts(settings) as killed:
        erased = await store(killed)
        await killed.erasing.result(erased, caller=None, by=BY)
        held = in_bytes(tmp_path, [erased])
        async with build_parts(settings) as parts:
            await parts.erasing.look()
            left = in_bytes(tmp_path, [erased])

    assert held == [erased]
    assert left == []
