"""`python -m app batch` and `watch`, as a person at a shell sees them."""

import csv
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from hashlib import sha256

import pytest

from tests.conftest import PHOTOGRAPHS, ROOT
from tests.pictures import encoded, photograph


@pytest.fixture
def begin(tmp_path):
    """Start a command in an empty folder."""

    def command(*arguments, **variables) -> subprocess.Popen:
        environment = os.environ | {
            "CONFIG_DIR": str(ROOT / "config"),
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": f"sqlite:///{tmp_path}/app.db",
            **variables,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "app", *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return command


@pytest.fixture
def pictures(tmp_path):
    """Two of a class in its folder, one that is none, and what is no picture."""
    folder = tmp_path / "pictures"
    (folder / "rose").mkdir(parents=True)
    shutil.copy(PHOTOGRAPHS / "rose.jpg", folder / "rose" / "a.jpg")
    shutil.copy(PHOTOGRAPHS / "daisy.jpg", folder / "rose" / "b.jpg")
    shutil.copy(PHOTOGRAPHS / "fork.jpg", folder / "c.jpg")
    (folder / "notes.txt").write_text("no picture")
    return folder


def ended(process: subprocess.Popen) -> tuple[int, str]:
    _, told = process.communicate(timeout=60)
    return process.returncode, told


def asked(tmp_path, query: str) -> list[tuple]:
    with sqlite3.connect(tmp_path / "app.db") as database:
        return database.execute(query).fetchall()


def done(tmp_path) -> int:
    try:
        ((count,),) = asked(tmp_path, "SELECT accepted + needs_review + failed FROM batches")
    except (sqlite3.OperationalError, ValueError):
        return 0
    return count


def test_a_folder_is_classified(begin, pictures, tmp_path):
    """By its folders the true class is known. What is no picture is told."""
    status, told = ended(begin("batch", pictures, "--domain", "flowers"))

    assert status == 0
    assert "completed, 3 of 3 done, 0 failed" in told
    assert "notes.txt: is no picture" in told
    assert '"event"' not in told  # the log keeps out of what a person reads
    rows = asked(tmp_path, "SELECT item_id, expected FROM batch_items ORDER BY number")
    assert rows == [("c.jpg", None), ("rose/a.jpg", "rose"), ("rose/b.jpg", "rose")]


def test_a_service_that_runs_beside_it_begins_at_once(begin, pictures, start_service, tmp_path):
    """It has the database, and does the work."""
    start_service(DATABASE_URL=f"sqlite:///{tmp_path}/app.db")
    began = time.monotonic()

    status, told = ended(begin("batch", pictures, "--domain", "flowers"))

    assert (status, "completed, 3 of 3 done" in told) == (0, True)
    assert time.monotonic() - began < 30


def test_a_dry_run_only_tells(begin, pictures, tmp_path):
    process = begin("batch", pictures, "--domain", "flowers", "--dry-run")
    told, _ = process.communicate(timeout=60)
    ((results, batches),) = asked(
        tmp_path, "SELECT (SELECT count(*) FROM results), (SELECT count(*) FROM batches)"
    )

    assert process.returncode == 0
    assert "notes.txt: is no picture" in told
    assert re.search(r"items +3\b", told)
    assert re.search(r"cost +nothing", told)
    assert (results, batches) == (0, 0)


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_a_terminal_obeys_no_name(begin, pictures, options):
    (pictures / "a\x1b]0;b\x07.txt").touch()
    process = begin("batch", pictures, "--domain", "flowers", *options)
    told = "".join(process.communicate(timeout=60))

    assert r"a\x1b]0;b\x07.txt: " in told
    assert "\x1b" not in told


def test_a_storage_uri_is_classified(begin, pictures, tmp_path):
    """Where it is allowed; what it names is not copied, but for what a person is to see of it."""
    uri = f"file://{pictures}/"
    refused = ended(begin("batch", uri, "--domain", "flowers"))
    status, told = ended(begin("batch", uri, "--domain", "flowers", BATCH_SOURCES=uri))

    assert refused[0] == 1
    assert "BATCH_SOURCES" in refused[1]
    assert status == 0
    assert "completed, 3 of 3 done, 0 failed" in told
    rows = asked(tmp_path, "SELECT item_id, source, expected FROM batch_items ORDER BY item_id")
    assert rows == [
        ("c.jpg", f"{uri}c.jpg", None),
        ("rose/a.jpg", f"{uri}rose/a.jpg", "rose"),
        ("rose/b.jpg", f"{uri}rose/b.jpg", "rose"),
    ]
    named = {sha256(path.read_bytes()).hexdigest() for path in pictures.rglob("*.jpg")}
    assert not named & {path.name for path in (tmp_path / "blobs").rglob("*")}


def test_watch_shows_one_that_is_over(begin, pictures, tmp_path):
    ended(begin("batch", pictures, "--domain", "flowers"))
    ((batch_id,),) = asked(tmp_path, "SELECT id FROM batches")

    status, told = ended(begin("watch", batch_id))

    assert status == 0
    assert f"{batch_id}: completed, 3 of 3 done" in told


def test_the_results_are_written_when_it_is_over(begin, pictures, tmp_path):
    """In the order of the items; what the batch came to is JSON on demand."""
    process = begin("batch", pictures, "--domain=flowers", "--output=r.csv", "--json")
    out, told = process.communicate(timeout=60)
    watched, _ = begin("watch", json.loads(out)["id"], "--json").communicate(timeout=60)
    rows = list(csv.DictReader((tmp_path / "r.csv").read_text().splitlines()))

    assert process.returncode == 0
    assert "r.csv: 3 rows" in told
    assert [row["item_id"] for row in rows] == ["c.jpg", "rose/a.jpg", "rose/b.jpg"]
    assert (json.loads(out)["status"], json.loads(out)["done"]) == ("completed", 3)
    assert watched == out


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--output", "nowhere/r.csv"], 2, "There is no folder"),
        (["--output", "r.pdf"], 2, "there is no 'pdf'"),
        (["--output", "file:///r.csv"], 1, "EXPORT_TARGETS"),
        (["--output", "-", "--json"], 2, "uses stdout, too"),
        (["--output", "r.csv", "--dry-run"], 2, "nothing to write"),
        (["--resume"], 1, "There is no unfinished batch"),
    ],
)
def test_what_can_t_be_is_told_before_it_begins(begin, pictures, tmp_path, options, status, words):
    found = ended(begin("batch", pictures, "--domain=flowers", *options, COLUMNS="200"))
    places = sorted(each.name for each in tmp_path.iterdir() if each.suffix != ".lock")

    assert found[0] == status
    assert words in found[1]
    if "app.db" in places:
        assert asked(tmp_path, "SELECT count(*) FROM batches") == [(0,)]


def test_a_dry_run_as_json_is_that_of_the_api(begin, pictures):
    process = begin("batch", pictures, "--domain", "flowers", "--dry-run", "--json")
    told, _ = process.communicate(timeout=60)

    assert json.loads(told)["items"] == 3


@pytest.fixture
def interrupted(begin, tmp_path):
    """A batch of 400 pictures, stopped by Ctrl-C: its folder, and how it ended."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(400):
        (folder / f"{number}.png").write_bytes(encoded(photograph(200 + number, 200), "PNG"))
    first = begin("batch", folder, "--domain", "flowers", "--output", "r.csv")
    while done(tmp_path) < 20:
        assert first.poll() is None
        time.sleep(0.02)
    first.send_signal(signal.SIGINT)
    return folder, *ended(first)


def test_beside_an_unfinished_one_a_new_one_begins_at_will(begin, interrupted, pictures, tmp_path):
    folder, *_ = interrupted
    shutil.rmtree(folder)
    shutil.copytree(pictures, folder)
    ended(begin("batch", folder, "--domain", "flowers", "--no-resume"))

    batches = asked(tmp_path, "SELECT status, total FROM batches ORDER BY id")
    assert [total for _, total in batches] == [400, 3]
    assert batches[1][0] == "completed"


@pytest.mark.parametrize("resume", [[], ["--resume"]], ids=["by itself", "on demand"])
def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(begin, interrupted, tmp_path, resume):
    """What is asked for in a file is written when all of it is there, and not before."""
    folder, *stopped = interrupted
    early = (tmp_path / "r.csv").exists()
    before = done(tmp_path)
    resumed = ended(begin("batch", folder, "--domain=flowers", "--output=r.csv", *resume))
    ((results, batches),) = asked(
        tmp_path, "SELECT (SELECT count(*) FROM results), (SELECT count(*) FROM batches)"
    )

    assert not early
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 401
    assert stopped[0] == 130
    assert "run the same command to resume" in stopped[1]
    assert 20 <= before < 400
    assert resumed[0] == 0
    assert (results, batches) == (400, 1)


@pytest.mark.parametrize("arguments", [("nowhere",), (".", "--domain", "flours")])
def test_wrong_use_is_told(begin, arguments):
    status, told = ended(
        begin("batch", *arguments, *(() if len(arguments) > 1 else ("--domain", "flowers")))
    )

    assert status in (1, 2)
    assert "Traceback" not in told
