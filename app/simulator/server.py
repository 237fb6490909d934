"""A server for the simulator that can break connections."""

import socket
import struct
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.listening import ListeningServer
from app.simulator.sending import RESET

KEEP_ALIVE_S = 120
"""Longer than clients keep an idle connection: closing it first could break a client's call."""
GRACE_S = 1
"""For answers still in progress at shutdown."""


class BreakableConnection(HttpToolsProtocol):
    """uvicorn's protocol, with the extension `simulator.reset`."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {RESET: {"reset": self._reset}}

    def _reset(self) -> None:
        # With SO_LINGER at 0 a connection is closed by RST instead of FIN.
        linger = struct.pack("ii", 1, 0)
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.transport.abort()


class Server(ListeningServer):
    """Serves a simulator until it is told to stop.

    `run()` blocks; `serve()` is for a running event loop. Both raise ConfigurationError.
    """

    def __init__(
        self, app: ASGIApp, *, host: str, port: int, on_listening: Callable[[str], None]
    ) -> None:
        """`port` 0 takes a free one; `on_listening` receives the URL once connections are
        accepted."""
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=BreakableConnection,
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)
        self._on_listening = on_listening

    async def listening(self, url: str) -> None:
        self._on_listening(url)
