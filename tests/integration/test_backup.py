"""What docs/deployment.md says of backup, restore and upgrade, done."""

import os
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from app.parts import build_parts
from app.storage import describe, parse_url
from app.storage.migrate import HEAD
from tests.documentation import commands, section
from tests.integration.calls import store
from tests.service import ROOT

COMMANDS = [
    each.text for block in section("docs/deployment.md", "Backup") for each in commands(block)
]


def the_one(program: str) -> str:
    """The command of the page that runs this program."""
    (found,) = [each for each in COMMANDS if program in each]
    return found


def backed_up(folder) -> None:
    run(the_one("sqlite3 FOLDER").replace("FOLDER", "data"), folder)
    (folder / "backup.db").rename(folder / "data" / "backup.db")


def copied_in_the_container(folder) -> None:
    """By the module that Python 3.12 and later have as a command."""
    *_, database, statement = shlex.split(the_one("docker exec classifier python -m sqlite3"))
    with sqlite3.connect(database) as beside:
        beside.execute(statement)


@pytest.mark.parametrize("copy", [backed_up, copied_in_the_container])
async def test_a_copy_of_sqlite_that_was_made_meanwhile(settings, tmp_path, monkeypatch, copy):
    """While the service runs."""
    monkeypatch.chdir(tmp_path)
    own = settings.model_copy(update={"database_url": f"sqlite:///{tmp_path}/data/app.db"})
    async with build_parts(own, serving=True) as parts:
        result_id = await store(parts)
        copy(tmp_path)
    restored = settings.model_copy(update={"database_url": f"sqlite:///{tmp_path}/data/backup.db"})
    async with build_parts(restored, serving=True) as parts:
        assert (await parts.results.get(result_id, caller=None)).id == result_id


async def test_a_dump_of_postgres(settings, postgres, postgres_url, tmp_path):
    """While the service runs, and restored into an empty database."""
    tools = os.pathsep.join((str(Path(postgres.tool("pg_dump")).parent), os.environ["PATH"]))
    own = settings.model_copy(update={"database_url": postgres_url})
    async with build_parts(own, serving=True) as parts:
        result_id = await store(parts)
        run(the_one("pg_dump"), tmp_path, PATH=tools, DATABASE_URL=postgres_url)
    empty = postgres.url(postgres.new_database())
    run(the_one("pg_restore"), tmp_path, PATH=tools, DATABASE_URL=empty)
    restored = settings.model_copy(update={"database_url": empty})
    async with build_parts(restored, serving=True) as parts:
        assert (await parts.results.get(result_id, caller=None)).id == result_id


def run(command: str, folder, **variables: str) -> None:
    subprocess.run(command, cwd=folder, env=os.environ | variables, shell=True, check=True)


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
