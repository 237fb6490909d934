"""The receivers of docs/webhooks.md, pasted and run."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import pytest

from app.webhooks.signing import new_private_key, new_secret, sign
from tests.documentation import blocks
from tests.service import ROOT

SECRET = new_secret()
BODY = '{"type":"result.created","data":{"predicted_class":"Gänseblümchen"}}'.encode()
SNIPPETS = {
    each.heading: each.text
    for each in blocks("docs/webhooks.md")
    if each.language in ("python", "javascript", "go", "sh")
}
WITH_LIBRARY = "Node, with the library"
STARTED_WITHIN_S = 60
"""Go compiles its library when it is used the first time."""

MALFORMED = (None, "", "v1", "v1,", ",,", "v1,????", "-1", "9" * 5000, "nan", b"v1,\xe4")
"""None: it is not there."""

Command = Callable[[Path, int], list[str]]


def python(file: Path, _: int) -> list[str]:
    return [sys.executable, str(file)]


def uvicorn(file: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "uvicorn", f"{file.stem}:app", "--port", str(port)]


def node(file: Path, _: int) -> list[str]:
    return ["node", str(file)]


def go(file: Path, _: int) -> list[str]:
    program = file.with_suffix("")
    subprocess.run(["go", "build", "-o", program, file], check=True, timeout=100)
    return [str(program)]


RECEIVERS: dict[str, tuple[Command, str]] = {
    "Python, with the library": (uvicorn, "receiver.py"),
    "Python, with nothing else": (python, "receiver.py"),
    WITH_LIBRARY: (node, "receiver.js"),
    "Node, with nothing else": (node, "receiver.js"),
    "Go": (go, "receiver.go"),
}


def free_port() -> int:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def command_of(title: str, folder: Path, port: int) -> list[str]:
    """Of the receiver in a file of its own. Skips where its language is not."""
    command, name = RECEIVERS[title]
    if command is node and shutil.which("node") is None:
        pytest.skip("no node: install it, then make test-deps")
    if command is go and shutil.which("go") is None:
        pytest.skip("no go: make test-deps installs it")
    if title == WITH_LIBRARY:
        modules = ROOT / ".node" / "node_modules"
        if not (modules / "standardwebhooks").is_dir():
            pytest.skip("no standardwebhooks of npm: make test-deps installs it")
        (folder / "node_modules").symlink_to(modules)
    file = folder / name
    file.write_text(SNIPPETS[title].replace("9000", str(port)), encoding="utf-8")
    return command(file, port)


@contextmanager
def running(title: str, folder: Path) -> Iterator[str]:
    """The URL where its events go."""
    port = free_port()
    process = subprocess.Popen(
        command_of(title, folder, port),
        cwd=folder,
        env=os.environ | {"WEBHOOK_SECRET": SECRET},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(process, port)
        yield f"http://127.0.0.1:{port}/webhooks"
        assert process.poll() is None, "it did not outlive what it was sent"
    finally:
        process.kill()
        process.wait()


def _wait_for(process: subprocess.Popen, port: int) -> None:
    deadline = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the receiver does not start")


@pytest.fixture(scope="module", params=RECEIVERS)
def receiver(request, tmp_path_factory):
    with running(request.param, tmp_path_factory.mktemp("receiver")) as url:
        yield url


def signed(*secrets: str, late_s: int = 0) -> dict[str, str]:
    """The headers of `BODY`."""
    timestamp = int(time.time()) - late_s
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secrets, message_id="msg_1", timestamp=timestamp, body=BODY),
    }


def answer(url: str, headers: dict[str, str | bytes], body: bytes = BODY) -> int:
    told = {"content-type": "application/json", **headers}
    return httpx2.post(url, content=body, headers=told, timeout=30).status_code


def test_every_snippet_is_run():
    assert set(SNIPPETS) == {*RECEIVERS, "Send one"}


def test_what_is_right_is_taken(receiver):
    """Also a little late, and beside signatures of another secret and of another version."""
    assert answer(receiver, signed(SECRET)) == 204
    assert answer(receiver, signed(SECRET, late_s=290)) == 204
    assert answer(receiver, signed(SECRET, late_s=-290)) == 204
    assert answer(receiver, signed(new_private_key(), new_secret(), SECRET)) == 204


def test_what_was_changed_is_refused(receiver):
    assert answer(receiver, signed(SECRET), BODY.replace(b"created", b"deleted")) == 401
    assert answer(receiver, signed(SECRET), BODY + b" ") == 401
    assert answer(receiver, signed(SECRET), b"\xff") == 401
    assert answer(receiver, signed(SECRET), b"") == 401
    assert answer(receiver, signed(SECRET) | {"webhook-id": "msg_2"}) == 401
    assert answer(receiver, signed(new_secret(), new_private_key())) == 401


@pytest.mark.parametrize("late_s", [310, -310])
def test_what_is_of_another_time_is_refused(receiver, late_s):
    assert answer(receiver, signed(SECRET, late_s=late_s)) == 401


@pytest.mark.parametrize("name", signed(SECRET))
def test_what_is_malformed_is_refused(receiver, name):
    """It ends no receiver and is no error of its own."""
    told = signed(SECRET)
    del told[name]
    found = {
        each: answer(receiver, told if each is None else told | {name: each}) for each in MALFORMED
    }

    assert found == dict.fromkeys(MALFORMED, 401)


def test_whoever_goes_away_ends_no_receiver(receiver):
    port = int(re.search(r":(\d+)/", receiver)[1])
    for _ in range(3):
        with closing(socket.create_connection(("127.0.0.1", port))) as caller:
            caller.sendall(b"POST /webhooks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")

    assert answer(receiver, signed(SECRET)) == 204


@pytest.mark.parametrize("title", RECEIVERS)
@pytest.mark.parametrize("secret", [None, "", "whsec_"])
def test_no_receiver_starts_without_a_secret(title, secret, tmp_path):
    """Everybody knows the empty key."""
    environment = {name: value for name, value in os.environ.items() if name != "WEBHOOK_SECRET"}
    done = subprocess.run(
        command_of(title, tmp_path, free_port()),
        cwd=tmp_path,
        env=environment if secret is None else environment | {"WEBHOOK_SECRET": secret},
        capture_output=True,
        timeout=30,
    )

    assert done.returncode != 0


@pytest.mark.skipif(
    not (shutil.which("openssl") and shutil.which("curl")), reason="no openssl or no curl"
)
def test_the_shell_signs_as_the_service_does(tmp_path):
    """Whether the body is a line or bytes without an end."""
    sender, event = tmp_path / "send.sh", tmp_path / "event.json"
    sender.write_text(SNIPPETS["Send one"], encoding="utf-8")
    found = []
    with running("Python, with nothing else", tmp_path) as url:
        for secret, body in [(SECRET, BODY), (SECRET, BODY + b"\n"), (new_secret(), BODY)]:
            event.write_bytes(body)
            done = subprocess.run(
                ["sh", sender, url, event],
                env=os.environ | {"WEBHOOK_SECRET": secret},
                capture_output=True,
                check=True,
                text=True,
            )
            found.append(done.stdout.split()[1])

    assert found == ["204", "204", "401"]
