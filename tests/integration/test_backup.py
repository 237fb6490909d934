"""What docs/deployment.md says of backup, restore and upgrade, done."""

import sqlite3
import subprocess
import sys

import pytest

from app.parts import build_parts
from app.storage import describe, parse_url
from app.storage.migrate import HEAD
from tests.integration.calls import store
from tests.service import ROOT


async def test_a_copy_of_sqlite_that_was_made_meanwhile(settings, tmp_path):
    """`VACUUM INTO`, while the service runs."""
    own = settings.model_copy(update={"database_url": f"sqlite:///{tmp_path}/app.db"})
    async with build_parts(own, serving=True) as parts:
        result_id = await store(parts)
        with sqlite3.connect(tmp_path / "app.db") as beside:
            beside.execute(f"VACUUM INTO '{tmp_path}/backup.db'")
    restored = settings.model_copy(update={"database_url": f"sqlite:///{tmp_path}/backup.db"})
    async with build_parts(restored, serving=True) as parts:
        assert (await parts.results.get(result_id, caller=None)).id == result_id


async def test_a_dump_of_postgres(settings, postgres, postgres_url, tmp_path):
    """`pg_dump` while the service runs, `pg_restore` into an empty database."""
    dump = tmp_path / "backup.dump"
    own = settings.model_copy(update={"database_url": postgres_url})
    async with build_parts(own, serving=True) as parts:
        result_id = await store(parts)
        run(postgres, "pg_dump", "--format=custom", f"--file={dump}", postgres_url)
    empty = postgres.url(postgres.new_database())
    run(postgres, "pg_restore", "--no-owner", f"--dbname={empty}", str(dump))
    restored = settings.model_copy(update={"database_url": empty})
    async with build_parts(restored, serving=True) as parts:
        assert (await parts.results.get(result_id, caller=None)).id == result_id


def run(postgres, tool: str, *arguments: str) -> None:
    subprocess.run([postgres.tool(tool), *arguments], check=True)


@pytest.fixture
def empty_url(request, postgres, tmp_path):
    urls = {"sqlite": f"sqlite:///{tmp_path}/app.db"}
    return urls.get(request.param) or postgres.url(postgres.new_database())


@pytest.mark.parametrize("empty_url", ["sqlite", "postgres"], indirect=True)
def test_the_command_upgrades(empty_url, monkeypatch):
    """From nothing, and again, when there is nothing to do; it says what it did."""
    monkeypatch.setenv("DATABASE_URL", empty_url)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, "-m", "app", "db", "upgrade"]
    told = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)
    ]
    place = describe(parse_url(empty_url))

    assert told == [f"{place}: empty -> {HEAD}\n", f"{place}: {HEAD}\n"]
