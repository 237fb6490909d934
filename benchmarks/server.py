"""A server under measurement: runs as its own process, with its costs read from the kernel."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tests.process import Process
from tests.service import ROOT

SERVE = ["-m", "app", "serve"]
BARE, ONE_ROUTE = (
    ["-m", "uvicorn", f"benchmarks.{name}:app", "--port", "PORT", "--no-access-log"]
    for name in ("bare", "one_route")
)
UNCOMPILED = "PYTHONDONTWRITEBYTECODE"
"""If set, every start compiles the whole service anew, which an installed one never does."""


class Server:
    """`costs` is what the kernel counts, `ready_s` the time from start to the first successful
    answer of /health/ready."""

    def __init__(self, arguments: list[str], folder: Path = ROOT, **variables: str) -> None:
        """`folder`: where the code to run is."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        environment = {name: each for name, each in os.environ.items() if name != UNCOMPILED}
        began = time.perf_counter()
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, *(each.replace("PORT", str(self.port)) for each in arguments)],
            cwd=folder,
            env=environment | {"PORT": str(self.port), "DRAIN_DELAY": "0", **variables},
            stderr=subprocess.DEVNULL,
        )
        while not self._ready():
            if self.process.poll() is not None or time.perf_counter() - began > 60:
                raise RuntimeError(f"{arguments} does not start")
            time.sleep(0.01)
        self.costs = Process(self.process.pid)
        self.ready_s = time.perf_counter() - began

    def pin(self, cores: set[int]) -> None:
        """Keep all its threads on these cores."""
        for thread in Path(f"/proc/{self.process.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
            return str(answer.read().decode())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)

    def _ready(self) -> bool:
        try:
            self.get("/health/ready")
        except OSError:
            return False
        return True
