"""A web server on this machine, for URLs that EGRESS_ALLOW permits."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager


def reply(body: bytes, kind: str = "image/jpeg", status: str = "200 OK", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def redirect(location: str) -> bytes:
    return reply(b"", "text/plain", "302 Found", f"Location: {location}")


class Loopback:
    """Answers by path. All answers are held back while `gate` is cleared."""

    def __init__(self, pages: Mapping[str, bytes], port: int) -> None:
        self.pages = dict(pages)
        self.place = f"127.0.0.1:{port}"
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[str] = []

    def url(self, path: str) -> str:
        return f"http://{self.place}{path}"


@asynccontextmanager
async def loopback(pages: Mapping[str, bytes]) -> AsyncIterator[Loopback]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            served.asked.append(path)
            await served.gate.wait()
            writer.write(served.pages[path.partition("?")[0]])
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    served = Loopback(pages, server.sockets[0].getsockname()[1])
    try:
        yield served
    finally:
        served.gate.set()
        server.close()
        await server.wait_closed()
