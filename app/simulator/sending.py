"""How a reply is sent: at once, slowly, late, or not at all."""

import asyncio

from starlette.types import Receive, Scope, Send

from app.simulator.reply import Reply

RESET = "simulator.reset"
"""ASGI extension of a server that can break a connection; call `reset` to do so."""
DRIPS = 20


class Sending:
    """One reply, as an ASGI application."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match self._reply.manner:
            case "whole":
                await self._send(send)
            case "slow":
                await self._drip(send)
            case "silent":
                if not await _gone(receive, self._reply.seconds):
                    await self._send(send)
            case "reset":
                scope["extensions"][RESET]["reset"]()
                # Until the server notices, it would still answer.
                await _gone(receive, None)

    async def _send(self, send: Send) -> None:
        await self._start(send)
        await send({"type": "http.response.body", "body": self._reply.body})

    async def _drip(self, send: Send) -> None:
        body = self._reply.body
        size = max(1, -(-len(body) // DRIPS))
        pause = self._reply.seconds / DRIPS
        await self._start(send)
        for begin in range(0, len(body), size):
            await asyncio.sleep(pause)
            part = body[begin : begin + size]
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _start(self, send: Send) -> None:
        reply = self._reply
        headers = {
            "content-length": str(len(reply.body)),
            "content-type": reply.content_type,
            **reply.headers,
        }
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": encoded})


async def _gone(receive: Receive, seconds: float | None) -> bool:
    """Whether the client disconnects within `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True
