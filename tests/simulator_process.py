"""`python -m app simulate`, as a process of its own."""

import subprocess
import sys

from tests.service import ROOT


class SimulatorProcess:
    """On a free port; ready when constructed. A stopped one is restarted at the same address."""

    def __init__(self, *options: str) -> None:
        self._options = options
        self._port = "0"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app", "simulate", "--port", self._port, *self._options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
        )
        line = self._process.stdout.readline() if self._process.stdout else ""
        self.url = line.split()[-1]
        self._port = self.url.rpartition(":")[2]

    def kill(self) -> None:
        """As kill -9 does: connections break, and nothing that is under way ends."""
        self._process.kill()
        self._process.communicate()

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate()
