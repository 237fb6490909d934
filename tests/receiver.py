"""A webhook receiver on this machine that answers as a test wants, and records all deliveries."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook

from tests.integration.calls import until


def said(status: str = "204 No Content", *headers: str, body: bytes = b"") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    if status.startswith("204"):
        head.pop(1)
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


BROKEN = said("500 Internal Server Error", body=b"we are broken")
GONE = said("410 Gone")


@dataclass(frozen=True)
class Post:
    """One request. `at`: when it came, by the event loop's clock."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def timestamp(self) -> int:
        return int(self.headers["webhook-timestamp"])

    def verify(self, secret: str) -> dict[str, Any]:
        """Verify it as a receiver does with the standard's own library; return the event."""
        return Webhook(secret).verify(self.body, self.headers)

    def is_signed_with(self, secret: str) -> bool:
        """Whatever its age."""
        signed_at = datetime.fromtimestamp(self.timestamp, UTC)
        expected = Webhook(secret).sign(self.id, signed_at, self.body.decode())
        return expected in self.headers["webhook-signature"].split()


class Receiver:
    """Gives `answers` one by one, then `always`.

    Attributes:
        gate: answers are held back while it is cleared.
        posts: requests in the order in which they came.
        most: the largest number of concurrent requests.
    """

    def __init__(self, port: int) -> None:
        self.place = f"127.0.0.1:{port}"
        self.always = said()
        self.answers: deque[bytes] = deque()
        self.gate = asyncio.Event()
        self.gate.set()
        self.posts: list[Post] = []
        self.most = 0
        self._here = 0

    def url(self, path: str = "/hook") -> str:
        return f"http://{self.place}{path}"

    @property
    def events(self) -> list[dict[str, Any]]:
        return [each.event for each in self.posts]

    async def got(self, count: int, *, seconds: float = 15) -> list[Post]:
        """Wait for this many; return all that have come."""
        await until(lambda: len(self.posts) >= count, seconds=seconds)
        return self.posts

    async def told(self, kind: str, *, seconds: float = 15) -> dict[str, Any]:
        """The first event of this type."""

        def found() -> list[dict[str, Any]]:
            return [each for each in self.events if each["type"] == kind]

        await until(found, seconds=seconds)
        return found()[0]

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._here += 1
        self.most = max(self.most, self._here)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip().split("\r\n")
            method, path, _ = first.split()
            assert method == "POST"
            headers = {
                name.lower(): value for name, _, value in (each.partition(": ") for each in lines)
            }
            body = await reader.readexactly(int(headers["content-length"]))
            self.posts.append(Post(path, headers, body, asyncio.get_running_loop().time()))
            answer = self.answers.popleft() if self.answers else self.always
            await self.gate.wait()
            writer.write(answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._here -= 1
            writer.close()


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await there.talk(reader, writer)

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    there = Receiver(server.sockets[0].getsockname()[1])
    try:
        yield there
    finally:
        there.gate.set()
        server.close()
        await server.wait_closed()
