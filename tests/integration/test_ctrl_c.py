"""Ctrl-C: the exit code is 130, and nothing is said of it. By themselves, for they are timed."""

import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import PHOTOGRAPHS, ROOT
from tests.shell import Shell


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path)


LOADING = (
    "import time\n"
    "from app.loading import loading\n"
    "with loading():\n"
    "    print('loads', flush=True)\n"
    "    time.sleep({seconds})\n"
)


def test_it_ends_what_loads():
    program = LOADING.format(seconds=60)
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=-1, stderr=-1, text=True
    ) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 130


def test_who_ignores_it_goes_on_to():
    """As a shell's job in the background."""
    program = LOADING.format(seconds=0.5)
    with subprocess.Popen(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", program],
        cwd=ROOT,
        stdout=-1,
        stderr=-1,
        text=True,
    ) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 0


@pytest.mark.parametrize(
    "line",
    [
        "results",
        "export -o r.csv",
        "config check",
        "retention",
        "keys new x",
        f"classify {PHOTOGRAPHS / 'rose.jpg'} --domain flowers",
        "evaluate labelled --domain flowers",
        "batch labelled --domain flowers -o r.csv",
        "serve --port 0",
        "simulate --port 0",
        "webhooks listen --port 0",
        "webhooks secret",
        "webhooks new-key",
        "webhooks reencrypt",
    ],
)
@pytest.mark.parametrize("after_s", [0.1, 0.4, 0.8])
def test_it_ends_every_command_at_any_time(shell, tmp_path, line, after_s):
    (tmp_path / "labelled" / "rose").mkdir(parents=True)
    (tmp_path / "labelled" / "rose" / "a.jpg").symlink_to(PHOTOGRAPHS / "rose.jpg")
    process = shell.begin(*line.split())
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    try:
        _, told = process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        # Python drops one that comes while a destructor runs, and says so in its own words.
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        told = ""

    # Before and after Python has its own way with it, it kills: to a shell this is 130, too.
    # Who is done by then is done, and a server ends as it always does.
    assert process.returncode in (130, -signal.SIGINT, 0)
    assert "Traceback" not in told
    assert "KeyboardInterrupt" not in told


def test_answers_so_far_are_there(shell):
    files = [PHOTOGRAPHS / "rose.jpg", PHOTOGRAPHS / "daisy.jpg"] * 500
    process = shell.begin("classify", *files, "--domain", "flowers")
    first = [process.stdout.readline() for _ in range(10)]
    process.send_signal(signal.SIGINT)
    rest, told = process.communicate(timeout=60)
    lines = "".join([*first, rest]).splitlines()

    assert (process.returncode, told) == (130, "")
    assert 10 <= len(lines) < 1_000
    assert all(line.endswith("%") for line in lines)
