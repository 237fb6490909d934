"""Name resolution, and a network backend that connects only to given addresses."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence

from httpcore2 import (
    SOCKET_OPTION,
    AsyncNetworkBackend,
    AsyncNetworkStream,
    ConnectError,
    ConnectTimeout,
    UnsupportedProtocol,
)

from app.egress.addresses import Address

# EAI_NODATA does not exist on every platform.
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to addresses as text; none when there is no such name. Raises OSError."""


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """Ask the operating system, without blocking the event loop."""
    try:
        answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        # This is an answer, unlike a name server that can't be reached.
        if error.errno in _NO_SUCH_NAME:
            return ()
        raise
    return [str(sockaddr[0]) for *_, sockaddr in answers]


class OneConnection(AsyncNetworkBackend):
    """Remembers its connection: httpcore2 loses it when cancelled in the TLS handshake."""

    def __init__(self, connector: AsyncNetworkBackend, addresses: Sequence[Address] | None) -> None:
        """Connects to the first of `addresses` that answers, whatever host is requested; None
        connects to that host."""
        self._connector = connector
        self._addresses = addresses
        self._stream: AsyncNetworkStream | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        failure: Exception = ConnectError("no address")
        for place in (host,) if self._addresses is None else self._addresses:
            try:
                self._stream = await self._connector.connect_tcp(
                    str(place),
                    port,
                    timeout=timeout,
                    local_address=local_address,
                    socket_options=socket_options,
                )
            except (ConnectError, ConnectTimeout, OSError) as error:
                failure = error
            else:
                return self._stream
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        raise UnsupportedProtocol("no unix sockets here")

    async def aclose(self) -> None:
        """Close the connection."""
        if self._stream is not None:
            await self._stream.aclose()

    async def sleep(self, seconds: float) -> None:
        await self._connector.sleep(seconds)
