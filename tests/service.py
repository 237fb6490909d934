"""A real server, as a process of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class RunningService:
    """`python -m app serve`, or `worker`, on a free port of this machine."""

    def __init__(self, folder: Path, command: str = "serve", **variables: str) -> None:
        self.folder = folder
        self.command = command
        self.variables = variables
        self.log = folder / "log.txt"
        self.start()

    def start(self) -> None:
        environment = os.environ | {
            "CONFIG_DIR": str(ROOT / "config"),
            "DATABASE_URL": f"sqlite:///{self.folder}/app.db",
            "PYTHONPATH": str(ROOT),
            "PORT": "0",
            "DRAIN_DELAY": "0",
            "LOG_RENDERER": "json",
            **self.variables,
        }
        with self.log.open("ab") as log:
            begin = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app", self.command],
                cwd=self.folder,
                env=environment,
                stderr=log,
            )
        self.url = self._wait_for_url(begin)

    def _wait_for_url(self, begin: int) -> str:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for line in self.log.read_bytes()[begin:].splitlines():
                if b"listening" in line and (url := re.search(rb'http://[^\s"]+', line)):
                    return url[0].decode()
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.process.kill()
        self.process.wait()
        raise RuntimeError(f"the service does not start: {self.log.read_text()}")

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """Return the exit status."""
        self.process.send_signal(sig)
        return self.process.wait(timeout=30)
