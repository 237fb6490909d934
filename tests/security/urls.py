"""A corpus of hostile URLs, through the real client.

`ssrf.json` holds the cases; the network is fake and remembers where it was asked to connect.
"""

import asyncio
import ipaddress
import json
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpcore2

from app.egress import EgressClient, Fetched
from app.egress.addresses import is_public
from app.errors import ClassifierError

NAME = "URLs"

Case = dict[str, Any]
FailureOf = Callable[[Case, ssl.SSLContext], Awaitable[str | None]]
"""What is wrong with how a client takes a case; None: nothing."""


class FakeStream(httpcore2.AsyncNetworkStream):
    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    async def read(self, max_bytes, timeout=None):
        part, self._answer = self._answer[:max_bytes], self._answer[max_bytes:]
        return part

    async def write(self, buffer, timeout=None):
        pass

    async def aclose(self):
        pass

    async def start_tls(self, ssl_context, server_hostname=None, timeout=None):
        assert ssl_context.check_hostname
        assert ssl_context.verify_mode is ssl.CERT_REQUIRED
        return self


class FakeNetwork(httpcore2.AsyncNetworkBackend):
    """Resolver and connector of one case; `connected` is every address asked for."""

    def __init__(self, case: Case) -> None:
        self.connected: list[str] = []
        self._redirects = list(case.get("redirects", []))
        self._names = case.get("resolve", {})
        self._lookups: Counter[str] = Counter()

    async def resolve(self, host: str, port: int) -> list[str]:
        if host not in self._names:
            raise socket.gaierror(socket.EAI_AGAIN, "no such name in this case")
        answers = self._names[host]
        if answers and isinstance(answers[0], list):
            answers = answers[min(self._lookups[host], len(answers) - 1)]
        self._lookups[host] += 1
        return list(answers)

    async def connect_tcp(
        self, host, port, timeout=None, local_address=None, socket_options=None
    ) -> httpcore2.AsyncNetworkStream:
        self.connected.append(host)
        if self._redirects:
            head = f"HTTP/1.1 302 Found\r\nLocation: {self._redirects.pop(0)}\r\n"
            return FakeStream(f"{head}Content-Length: 0\r\n\r\n".encode())
        ok = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 3\r\n\r\nPNG"
        return FakeStream(ok)


def is_in(directory: Path) -> bool:
    return (directory / "ssrf.json").exists()


def run(directory: Path) -> tuple[int, list[str]]:
    """How many cases there are, and a line for each that fails."""
    return run_cases(directory, _failure)


def run_cases(directory: Path, failure_of: FailureOf, label: str = "") -> tuple[int, list[str]]:
    """The same, of any client; `label` stands before each line."""
    cases = json.loads((directory / "ssrf.json").read_text())
    return len(cases), asyncio.run(_run_all(cases, failure_of, label))


async def _run_all(cases: list[Case], failure_of: FailureOf, label: str) -> list[str]:
    tls = ssl.create_default_context()
    failures = [(case, await failure_of(case, tls)) for case in cases]
    return [f"{label}{c['id']}: {failure} ({c['why']})" for c, failure in failures if failure]


async def _failure(case: Case, tls: ssl.SSLContext) -> str | None:
    network = FakeNetwork(case)
    client = EgressClient(resolver=network.resolve, connector=network, ssl_context=tls)
    outcome: Fetched | Exception | None = None
    for _ in range(case.get("attempts", 1)):
        try:
            outcome = await client.get(case["url"], max_bytes=1000)
        except Exception as error:  # the point is to see which
            outcome = error
    return excluded_connection(case, network.connected) or _wrong_outcome(case, outcome)


def excluded_connection(case: Case, connected: list[str]) -> str | None:
    """An address that should not have been connected to."""
    only = case.get("connect_only")
    for text in connected:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return f"connected to the name {text!r}"
        if not is_public(address) or (only and text not in only):
            return f"connected to {text}"
    return None


def _wrong_outcome(case: Case, outcome: Fetched | Exception | None) -> str | None:
    if isinstance(outcome, Fetched):
        return "fetched" if case["expect"] == "refuse" else None
    if not isinstance(outcome, ClassifierError):
        return f"raised {outcome!r}"
    if case["expect"] == "allow" and not case.get("may_refuse"):
        return f"refused: {outcome}"
    return None
