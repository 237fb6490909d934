"""A command at a terminal of its own."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Thread

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\]8;.*?\x1b\\")
"""Colours, cursor movements, and links."""


class Terminal:
    """`told` is all output so far."""

    def __init__(
        self, command: str, *, folder: Path, environment: Mapping[str, str], columns: int = 120
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        self._process = subprocess.Popen(
            ["bash", "--norc", "-c", command],
            cwd=folder,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._bytes = b""
        self._looking_on = Thread(target=self._look_on, daemon=True)

    @property
    def told(self) -> str:
        text = self._bytes.decode(errors="replace").replace("\r\n", "\n")
        return ESCAPE.sub("", text)

    def wait(
        self, until: Callable[[str], bool] = lambda _: False, *, seconds: float = 60
    ) -> int | None:
        """Return the exit status, or None once `until` holds for the output: the command then keeps
        running. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while not until(self.told):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._ours], [], [], left)[0]:
                self.stop()
                raise TimeoutError(self.told)
            if not self._read():
                status = self._process.wait(timeout=seconds)
                self._hang_up()
                return status
        self._looking_on.start()  # a command whose output nobody reads would block
        return None

    def stop(self) -> None:
        """Ctrl-C for all its processes; those that do not end are killed."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        if self._looking_on.is_alive():
            self._looking_on.join()
        self._hang_up()

    def _hang_up(self) -> None:
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1

    def _look_on(self) -> None:
        while self._read():
            pass

    def _read(self) -> bool:
        try:
            told = os.read(self._ours, 65_536)
        except OSError:  # on Linux this means that nobody holds the other end any more
            return False
        self._bytes += told
        return True
