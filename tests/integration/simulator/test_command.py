"""`python -m app simulate`."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys

import httpx2
import pytest
from typer.testing import CliRunner

from app.cli import app as commands
from app.errors import ConfigurationError
from tests.integration.simulator.calls import KEY, ROSE, question
from tests.service import ROOT


def command(*options, **more):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "app", "simulate", *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_command_says_where_it_listens(tmp_path, stop):
    """Several deployments, a truth from a file; ends cleanly."""
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({hashlib.sha256(ROSE).hexdigest(): "daisy"}))
    options = ["--deployment", "eyes:gpt-4.1-mini:600:50000", "--deployment", "ears"]
    process = command(
        "--port", "0", *options, "--latency", "0", "--truth", str(truth), "--key", KEY
    )

    try:
        line = process.stdout.readline()
        url = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", line)[1]
        state = httpx2.get(f"{url}/_sim", timeout=30).json()["deployments"]
        answer = httpx2.post(
            f"{url}/openai/v1/chat/completions",
            json=question(),
            headers={"api-key": KEY},
            timeout=30,
        ).json()
    finally:
        process.send_signal(stop)
    out, err = process.communicate(timeout=10)

    assert set(state) == {"eyes", "ears"}
    assert (state["eyes"]["config"]["rpm"], state["eyes"]["config"]["tpm"]) == (600, 50_000)
    assert answer["model"] == "gpt-4.1-mini-2025-04-14"
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"label": "D"}
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--deployment", "eyes:gpt-3"], "'gpt-3' is none of gpt-4o"),
        (["--deployment", "eyes:gpt-4o:many"], "rpm"),
        (["--deployment", "a", "--deployment", "a"], "same name"),
        (["--deployment", "a:gpt-4o:1:2:3"], "more than NAME:MODEL:RPM:TPM"),
        (["--latency", "soon"], "MEAN:P95"),
        (["--latency", "1:99"], "floor_s <= mean_s"),
        (["--window", "5"], "window_s"),
        (["--truth", "nowhere.json"], "nowhere.json"),
    ],
)
def test_a_wrong_command_says_what_is_wrong(options, complaint):
    result = CliRunner().invoke(commands, ["simulate", *options])

    assert isinstance(result.exception, ConfigurationError)
    assert complaint in str(result.exception)


def test_a_port_that_is_taken_is_said(simulator):
    port = simulator.url.rpartition(":")[2]

    process = command("--port", port)
    _, err = process.communicate(timeout=20)

    assert process.returncode == 2
    assert f"127.0.0.1:{port}" in err


def test_what_was_called_outlives_the_process(tmp_path):
    """Killed with one call answered and one under way, and started anew on the same file."""
    calls = tmp_path / "calls.jsonl"
    options = ["--port", "0", "--deployment", "eyes", "--accuracy", "1", "--calls", str(calls)]
    headers = {"api-key": KEY}

    process = command(*options, "--latency", "0")
    url = f"{process.stdout.readline().split()[-1]}"
    path = "/openai/v1/chat/completions"
    answer = httpx2.post(f"{url}{path}", json=question(), headers=headers, timeout=30).json()
    silent = {"latency": {"mean_s": 60, "p95_s": 60}}
    httpx2.post(f"{url}/_sim/deployments/eyes", json=silent, timeout=30)
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(f"{url}{path}", json=question(), headers=headers, timeout=0.5)
    process.kill()
    process.communicate(timeout=10)
    again = command(*options, "--latency", "0")
    again.stdout.readline()
    again.terminate()
    again.communicate(timeout=10)

    first, end, second = map(json.loads, calls.read_text().splitlines())
    assert first["picture"] == hashlib.sha256(ROSE).hexdigest()
    assert first["key"] == hashlib.sha256(KEY.encode()).hexdigest()[:8]
    assert (end["call"], end["outcome"]) == (first["call"], "answered")
    assert end["billed"]["prompt"] == answer["usage"]["prompt_tokens"]
    assert end["billed"]["completion"] == answer["usage"]["completion_tokens"]
    assert second["call"] != first["call"]
    assert second["expected"] == first["expected"] == end["billed"]


def test_a_file_of_calls_that_cannot_be_written_is_said_at_once(tmp_path):
    found = CliRunner().invoke(commands, ["simulate", "--calls", str(tmp_path)])

    assert isinstance(found.exception, ConfigurationError)
    assert "--calls" in str(found.exception)
