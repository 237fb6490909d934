"""`cost`: what calls cost, told at a shell."""

import asyncio
import csv
import io
import json
from datetime import UTC, datetime

import pytest

from app.storage import Database, migrate
from tests.entries import book, entry, saved
from tests.shell import Shell, without_escapes

BATCH = "bat_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"
NOW = datetime.now(UTC)


async def _fill(url: str) -> None:
    database = Database(url)
    await migrate(database)
    await book(
        database,
        entry(NOW, "0.25", batch_id=BATCH),
        entry(NOW, None, caller="press"),
        saved("kept", NOW, "0.5"),
        entry(datetime(2026, 1, 31, 23, tzinfo=UTC), "8"),
    )
    await book(database, entry(NOW, "0.75", domain="animals", estimated=True), rolled=False)
    await database.close()


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    shell = Shell(tmp_path_factory.mktemp("shell"))
    asyncio.run(_fill(f"sqlite:///{shell.folder}/app.db"))
    return shell


def test_elsewhere_than_on_a_terminal_it_is_lines_with_tabs(shell):
    done = shell.run("cost", "--by", "domain")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "animals\t0.75\t0.75\t1\t1\t200\t5\nflowers\t0.25\t0.25\t2\t3\t400\t10\n"


def test_on_a_terminal_it_is_a_table(shell):
    """That fits into 80 columns, with what is to be known beside it."""
    status, told = shell.look("cost", "--by", "batch")
    table, notes = without_escapes(told).split("\n\n")

    assert status == 0
    assert [line.split() for line in table.splitlines()] == [
        ["batch", "USD", "share", "per", "1,000", "calls", "answers"],
        ["none", "0.7500", "75.0%", "250.0000", "2", "3"],
        [BATCH, "0.2500", "25.0%", "250.0000", "1", "1"],
        ["total", "1.0000", "100.0%", "250.0000", "3", "4"],
    ]
    assert "saved by cache  0.5000 in 1 answers" in notes
    assert "estimated       0.7500 of the total, at most" in notes
    assert "unknown         the cost of 1 calls" in notes
    assert f"{NOW:%Y-%m}         1.0000 so far, " in notes


def test_as_json_it_is_what_the_api_tells(shell):
    found = json.loads(shell.run("cost", "--json", "--caller=press", "--by=caller").stdout)

    assert (found["total_usd"], found["unpriced_calls"], found["by"]) == (0, 1, "caller")
    assert [each["key"] for each in found["groups"]] == ["press"]


def test_as_csv_it_is_what_the_api_tells(shell):
    lines = shell.run("cost", "--csv", "--by=model", "--domain=animals").stdout

    (row,) = csv.DictReader(io.StringIO(lines))
    assert (row["key"], row["total_usd"], row["calls"]) == ("gpt-4o", "0.75", "1")


def test_times_bound_it(shell):
    times = ("--since", "2026-01-31T23:00:00Z", "--until", "2026-02-01T00:00:00Z")
    done = shell.run("cost", *times, "--by", "hour")

    assert done.stdout.split("\t")[:2] == ["2026-01-31T23:00:00Z", "8.0"]


def test_where_nothing_was_spent_nothing_is_shown(shell):
    status, told = shell.look("cost", "--domain", "none")

    assert (status, without_escapes(told)) == (0, "none\n")


@pytest.mark.parametrize("wrong", [["--by", "colour"], ["--json", "--csv"], ["--since", "then"]])
def test_wrong_use_is_told(shell, wrong):
    done = shell.run("cost", *wrong)

    assert (done.returncode, done.stdout) == (2, "")
