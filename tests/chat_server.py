"""A server of the OpenAI chat API on this machine that records the requests it gets."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.loopback import reply

Answer = Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]
"""From a request's body to the status line and body of the answer."""


class ChatServer:
    """
    Attributes:
        asked: head and body of each request.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[tuple[str, dict[str, Any]]] = []

    @property
    def last_picture(self) -> bytes:
        """The JPEG of the last request."""
        part = self.asked[-1][1]["messages"][-1]["content"][0]
        return base64.b64decode(part["image_url"]["url"].partition(",")[2])


@asynccontextmanager
async def chat_server(answer: Answer) -> AsyncIterator[ChatServer]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1])
            for line in head.lower().splitlines()
            if line.startswith("content-length:")
        )
        body = json.loads(await reader.readexactly(length))
        server.asked.append((head, body))
        status, said = answer(body)
        content = json.dumps(said).encode()
        writer.write(reply(content, "application/json", status, "Connection: close"))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    server = ChatServer(f"http://127.0.0.1:{port}/v1")
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()
