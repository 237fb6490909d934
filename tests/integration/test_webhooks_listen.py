"""`python -m app webhooks listen`, as a process of its own."""

import json
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import httpx2
import pytest
from typer.testing import CliRunner

from app.cli import app as commands
from app.errors import ConfigurationError
from app.webhooks.signing import new_private_key, new_secret, public_key, sign
from tests.shell import Shell

SECRET = new_secret()
EVENT = {"type": "result.created", "data": {"predicted_class": "Gänseblümchen"}}
BODY = json.dumps(EVENT, ensure_ascii=False).encode()


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path)


@contextmanager
def listening(shell, *options, **variables):
    """The process and its URL. Whoever is done before is waited for."""
    process = shell.begin("webhooks", "listen", "--port", "0", *options, **variables)
    try:
        line = process.stdout.readline()
        yield process, re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", line)[1]
    finally:
        process.kill()
        process.communicate()


def post(url, body=BODY, *, secret=SECRET, message_id="msg_1", late_s=0, **more):
    timestamp = int(time.time()) - late_s
    told = {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign([secret], message_id=message_id, timestamp=timestamp, body=BODY),
    }
    return httpx2.post(url, content=body, headers=told | more, timeout=30).status_code


def shown(process) -> list[str]:
    """All that it printed after its first line, when it ended by itself."""
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    return out.splitlines()


def test_each_is_shown(shell):
    """When, where, what, whether it is right, and the body in full; it ends after the last."""
    with listening(shell, "--secret", SECRET, "--count", 2) as (process, url):
        statuses = [post(f"{url}/hook?a=b"), post(f"{url}/hook?a=b")]
        lines = shown(process)

    body = json.dumps(EVENT, ensure_ascii=False, indent=2).splitlines()
    head = r"\d\d:\d\d:\d\d  /hook\?a=b  result\.created  msg_1  valid signature"
    assert statuses == [204, 204]
    assert re.fullmatch(head, lines[0])
    assert lines[1 : len(body) + 1] == body
    assert re.fullmatch(f"{head}  again", lines[len(body) + 1])
    assert lines[len(body) + 2 :] == body


def test_why_a_signature_is_not_right_is_said(shell):
    with listening(shell, "--secret", SECRET, "--count", 4) as (process, url):
        post(url, BODY + b" ")
        post(url, secret=new_secret(), message_id="msg_2")
        post(url, message_id="msg_3", late_s=310)
        httpx2.post(url, content=BODY, timeout=30)
        found = [line for line in shown(process) if "refused" in line]

    assert found[0].endswith("msg_1  refused: webhook-signature does not match")
    assert found[1].endswith("msg_2  refused: webhook-signature does not match")
    assert re.search(r"msg_3  refused: webhook-timestamp is 31\d s old$", found[2])
    assert found[3].endswith("  -  refused: webhook-id is missing or malformed")


@pytest.mark.parametrize("kept", ["shared", "public"])
def test_secrets_may_be_several_and_in_the_environment(shell, kept):
    """Or, for who signs with a private key, be public."""
    private = new_private_key()
    secret, key = {"shared": (SECRET, SECRET), "public": (private, public_key(private))}[kept]
    told = f"{new_secret()} {key}"

    with listening(shell, "--count", 1, WEBHOOK_SECRET=told) as (process, url):
        post(url, secret=secret)
        by_environment = shown(process)[0]
    options = [part for each in told.split() for part in ("--secret", each)]
    with listening(shell, "--count", 1, *options) as (process, url):
        post(url, secret=secret)
        by_option = shown(process)[0]

    assert by_environment.endswith("valid signature")
    assert by_option.endswith("valid signature")


def test_without_a_secret_nothing_is_verified(shell):
    with listening(shell, "--count", 1, WEBHOOK_SECRET="") as (process, url):
        status = post(url)
        lines = shown(process)

    assert status == 204
    assert lines[0].endswith("msg_1  not verified")


def test_the_answer_can_be_told(shell):
    with listening(shell, "--count", 1, "--answer", 500) as (process, url):
        status = post(url)
        shown(process)

    assert status == 500


def test_nothing_that_a_terminal_would_obey_is_printed(shell):
    """In the body, parsed or not, the type, the path, the id."""
    odd = "\x1b[31m\x85\u2028\x07"
    with listening(shell, "--count", 3) as (process, url):
        httpx2.post(
            f"{url}/%1b%0a", content=json.dumps({"type": odd, odd: [odd, "\ud800"]}), timeout=30
        )
        httpx2.post(url, content=b"no JSON\x1b[31m\xff\r\nat all", timeout=30)
        httpx2.post(url, content=b"{}", headers={"webhook-id": b"\x9b31m", "host": "["}, timeout=30)
        out, _ = process.communicate(timeout=20)

    assert not set(out) & {"\x1b", "\x85", "\u2028", "\x07", "\x9b", "\r"}
    assert "  /\\x1b\\n  \\x1b[31m" in out
    assert "\\ud800" in out
    assert "no JSON\\x1b[31m\ufffd\\r\nat all\n" in out
    assert "\\x9b31m" in out


def test_a_body_is_bounded(shell):
    """By its length or as it comes; one that is small can still be long when it is shown."""
    deep = b'{"a":' * 400 + b"[" + b"1," * 5_000 + b"1]" + b"}" * 400
    with listening(shell, "--count", 3) as (process, url), ThreadPoolExecutor() as pool:
        printed = pool.submit(shown, process)  # meanwhile, or a full pipe would hold it up
        large = post(url, bytes(1_000_001))
        trickled = httpx2.post(
            url, content=iter([bytes(600_000), bytes(600_000)]), timeout=30
        ).status_code
        largest = post(url, b'"' + b"x" * 999_998 + b'"')
        fine = [post(url, deep), post(url, b"[" * 100_000)]
        lines = printed.result()

    assert (large, trickled, largest, fine) == (413, 413, 204, [204, 204])
    assert [line.partition("  ")[2] for line in lines[:2]] == [
        "/  not read: more than 1,000,000 bytes"
    ] * 2
    assert sum(map(len, lines)) < 350_000
    assert lines.count("...") == 2


def test_only_posts_are_shown(shell):
    """Nor what is broken off."""
    with listening(shell, "--count", 1) as (process, url):
        status = httpx2.get(url, timeout=30).status_code
        host, _, port = url.removeprefix("http://").partition(":")
        with closing(socket.create_connection((host, int(port)))) as caller:
            caller.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        post(url)
        lines = shown(process)

    assert status == 405
    assert sum("/" in line for line in lines) == 1


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly(shell, stop):
    with listening(shell) as (process, _):
        process.send_signal(stop)

        assert shown(process) == []


def test_it_ends_when_nobody_reads_any_more(shell):
    with listening(shell) as (process, url):
        process.stdout.close()
        post(url)

        assert process.wait(timeout=20) == 141


@pytest.mark.parametrize("secret", ["password", "whsec_c2hvcnQ=", "whpk_c2hvcnQ="])
def test_what_is_no_secret_is_said_without_it(secret):
    result = CliRunner().invoke(commands, ["webhooks", "listen", "--secret", secret])

    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception).startswith("--secret: ")
    assert secret not in str(result.exception)


def test_a_port_that_is_taken_is_said(shell):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        done = shell.run("webhooks", "listen", "--port", port)

    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr
