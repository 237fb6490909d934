"""A uvicorn server that tells where it listens, or why it can't."""

import socket
from abc import ABC, abstractmethod

import uvicorn

from app.errors import ConfigurationError


class ListeningServer(uvicorn.Server, ABC):
    """Raises ConfigurationError when its address can't be listened on."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            # The reason is in the log: nearly always the port is taken.
            config = self.config
            raise ConfigurationError(
                f"{config.host}:{config.port} can't be listened on: is the port taken?"
            ) from None
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            await self.listening(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    @abstractmethod
    async def listening(self, url: str) -> None:
        """Connections are taken from now on."""
