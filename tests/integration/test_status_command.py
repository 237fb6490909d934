"""`status`: how a running service is doing."""

import json
import os
import pty
import signal
import subprocess
import sys
import time

import httpx2
import pytest

from tests.conftest import PHOTOGRAPHS
from tests.integration.calls import api_keys
from tests.service import RunningService
from tests.shell import Shell, without_escapes

KEYS = ",".join(
    f"{each.name}:{each.sha256}{':admin' if each.admin else ''}"
    for each in api_keys(shop=False, boss=True)
)


def classify(service: RunningService, name: str, expected: str) -> None:
    with (PHOTOGRAPHS / name).open("rb") as picture:
        answer = httpx2.post(
            f"{service.url}/classify",
            data={"domain": "flowers", "expected": expected},
            files={"file": picture},
            headers={"X-API-Key": "shop"},
            timeout=30,
        )
    assert answer.is_success, answer.text


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = RunningService(tmp_path_factory.mktemp("service"), API_KEYS=KEYS)
    classify(service, "rose.jpg", "rose")
    classify(service, "daisy.jpg", "rose")
    yield service
    service.stop()


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path)


def test_a_program_gets_one_object(shell, service):
    done = shell.run("status", "--url", service.url, "--json", CLASSIFIER_API_KEY="boss")
    told = json.loads(done.stdout)

    assert done.returncode == 0
    assert told["health"]["status"] == "ok"
    assert told["last_hour"]["total"]["results"] == 2
    assert told["last_day"]["domains"][0]["accuracy"] == 0.5
    assert told["alerts"] == []
    assert told["deployments"][0]["deployments"][0]["breaker"] == "closed"


def test_elsewhere_than_on_a_terminal_it_is_lines_with_tabs(shell, service):
    """A caller who is no operator sees what is the caller's."""
    done = shell.run("status", "--url", service.url, "--api-key", "shop")
    told = [line.split("\t") for line in done.stdout.splitlines()]

    assert ["status", "", "ok"] in told
    assert ["accuracy", "last day flowers", "0.5"] in told
    assert not [each for each in told if each[0] == "breaker"]


def test_on_a_terminal_it_is_one_screen(shell, service):
    code, told = shell.look(
        "status", "--url", service.url, "--once", columns=80, CLASSIFIER_API_KEY="boss"
    )
    lines = without_escapes(told).splitlines()

    assert code == 0
    assert f"{service.url}  ok  local" in lines[0]
    assert "no alerts" in lines
    (flowers,) = (line.split() for line in lines if line.startswith("flowers"))
    assert flowers[:2] == ["flowers", "2"]
    assert "50.0%" in flowers
    assert max(map(len, lines)) <= 80
    assert "…" not in told


def test_it_goes_on_looking_and_says_when_nobody_answers(shell, tmp_path):
    service = RunningService(tmp_path)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "status", "--url", service.url, "--every", "0.5"],
        cwd=shell.folder,
        env=shell.environment(TERM="xterm-256color", COLUMNS="120"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)

    def read_until(words: str) -> str:
        told, deadline = "", time.monotonic() + 30
        while words not in told and time.monotonic() < deadline:
            told += without_escapes(os.read(ours, 65_536).decode(errors="ignore"))
        return told

    assert "24 hours by domain" in read_until("24 hours by domain")
    service.stop()
    assert "no answer" in read_until("no answer")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    os.close(ours)


def test_a_service_that_is_not_there_is_an_error(shell):
    done = shell.run("status", "--url", "http://127.0.0.1:9")

    assert (done.returncode, done.stdout) == (1, "")
    assert "can't be reached" in done.stderr


def test_a_key_that_is_missing_is_an_error(shell, service):
    done = shell.run("status", "--url", service.url)

    assert done.returncode == 1
    assert "API key" in done.stderr
