"""A receiver of webhooks, as a process of its own: what kills others never touches it.

    python -m tests.receiver_process SECRET [--latency 0.005]

The path says how a delivery is answered: 204 after `--latency`, but 500 at once below /fail/, and
not at all below /hang/. `GET /arrived?from=0` tells what came from there on. For five seconds
`PUT /failing?5` answers all with 500, `PUT /slow?5` takes as long for each, and after `PUT /down?5`
nobody listens.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from app.cli.serve import loop_factory
from app.webhooks.signing import SignatureRefused, verify

ROOT = Path(__file__).resolve().parents[1]

NO_CONTENT = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
FAILURE = b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A delivery, as the receiver saw it.

    Attributes:
        event_id: its `webhook-id`.
        subject: the id of what it is about.
        at: Unix seconds.
        waited_s: since the event's own `timestamp`.
        refused: why the signature is wrong; None: it is right.
    """

    path: str
    event_id: str
    type: str
    subject: str
    at: float
    waited_s: float
    refused: str | None


class Receiver:
    """The receiver process, seen from the test."""

    def __init__(self, secret: str, *, latency_s: float = 0.0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.receiver_process", secret, "--latency", str(latency_s)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.pid = self._process.pid
        self.place = self._process.stdout.readline().strip() if self._process.stdout else ""

    def url(self, path: str) -> str:
        return f"http://{self.place}{path}"

    def arrived(self, first: int = 0) -> list[Arrival]:
        """All but the `first`, in their order."""
        with urllib.request.urlopen(self.url(f"/arrived?from={first}")) as answer:
            return [Arrival(*each) for each in json.loads(answer.read())]

    def be(self, how: str, seconds: float) -> None:
        """Behave this way for this long: `failing`, `slow` or `down`."""
        order = urllib.request.Request(self.url(f"/{how}?{seconds}"), method="PUT")
        urllib.request.urlopen(order).close()

    def count(self) -> int:
        with urllib.request.urlopen(self.url("/count")) as answer:
            return int(answer.read())

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate()


class Arrivals:
    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._seen: list[Arrival] = []

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        at, refused = time.time(), None
        try:
            verify([self._secret], headers, body, now=at)
        except SignatureRefused as error:
            refused = str(error)
        event = json.loads(body)
        data = event["data"]
        subject = data.get("id") or data.get("webhook_id", "")
        waited_s = at - datetime.fromisoformat(event["timestamp"]).timestamp()
        seen = (path, headers.get("webhook-id", ""), event["type"], subject, at, waited_s, refused)
        self._seen.append(Arrival(*seen))

    def told(self, path: str) -> bytes:
        if path == "/count":
            body = str(len(self._seen)).encode()
        else:
            since = self._seen[int(path.partition("from=")[2]) :]
            rows = [
                [getattr(each, name) for name in Arrival.__dataclass_fields__] for each in since
            ]
            body = json.dumps(rows).encode()
        head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


class Listening:
    """How the receiver answers, and whether it listens at all."""

    def __init__(self, arrivals: Arrivals, latency_s: float) -> None:
        self.arrivals = arrivals
        self._latency_s = latency_s
        self._loop = asyncio.get_running_loop()
        self._failing_until = float("-inf")
        self._slow_until, self._slow_s = float("-inf"), 0.0
        self._place = ("127.0.0.1", 0)

    @property
    def fails(self) -> bool:
        return self._loop.time() < self._failing_until

    @property
    def latency_s(self) -> float:
        return self._slow_s if self._loop.time() < self._slow_until else self._latency_s

    async def listen(self) -> str:
        """Start to listen; return the address."""
        self._server = await self._loop.create_server(
            lambda: Talk(self), *self._place, backlog=1_000
        )
        self._place = self._server.sockets[0].getsockname()
        return f"{self._place[0]}:{self._place[1]}"

    def be(self, how: str, seconds: float) -> None:
        until = self._loop.time() + seconds
        if how == "failing":
            self._failing_until = until
        elif how == "slow":
            self._slow_until, self._slow_s = until, seconds
        else:
            self._server.close()
            self._returning = self._loop.create_task(self._return(seconds))

    async def _return(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self.listen()


class Talk(asyncio.Protocol):
    """One request, without streams, which would cost as much as the delivery itself."""

    def __init__(self, listening: Listening) -> None:
        self._listening = listening
        self._received = bytearray()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (each.partition(":") for each in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        if len(body) == int(headers.get("content-length", 0)):
            method, path, _ = first.split()
            self._answer(method, path, headers, bytes(body))

    def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        listening = self._listening
        if method == "GET":
            self._send(listening.arrivals.told(path))
        elif method == "PUT":
            how, _, seconds = path.removeprefix("/").partition("?")
            self._send(NO_CONTENT)
            listening.be(how, float(seconds))
        elif listening.fails:
            self._send(FAILURE)
        else:
            listening.arrivals.take(path, headers, body)
            if path.startswith("/fail/"):
                self._send(FAILURE)
            elif not path.startswith("/hang/"):
                loop = asyncio.get_running_loop()
                loop.call_later(listening.latency_s, self._send, NO_CONTENT)

    def _send(self, answer: bytes) -> None:
        if not self._transport.is_closing():  # the sender may have died
            self._transport.write(answer)
            self._transport.close()


async def receive(secret: str, latency_s: float) -> None:
    place = await Listening(Arrivals(secret), latency_s).listen()
    sys.stdout.write(f"{place}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("secret")
    arguments.add_argument("--latency", type=float, default=0.0, help="seconds")
    options = arguments.parse_args()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(receive(options.secret, options.latency))


if __name__ == "__main__":
    main()
